//! The entries, walked as the programs walk them, against the reference evaluator.

use mseg_ebpf::{
    abi::{
        policy::{ACTION_ALLOW, MATCH_DESTINATION, MATCH_IPV4, MATCH_IPV6, MATCH_SOURCE, MAX_RULE_ENTRIES},
        rule,
    },
    policy::matches,
};
use proptest::prelude::*;

use super::*;
use crate::policy::{
    arbitrary::{self, Picker},
    evaluate::{Packet, PacketDirection, evaluate},
    parse,
};

fn compiled(text: &str) -> Compiled {
    compile(&parse("test", text).unwrap(), &mut RuleIds::new()).unwrap()
}

fn refused(text: &str) -> Error {
    let mut ids = RuleIds::new();
    let error = compile(&parse("test", text).unwrap(), &mut ids).unwrap_err();
    assert_eq!(error.code, Code::InvalidPolicy);
    assert_eq!(ids, RuleIds::new());
    error
}

/// Without the built-in entries.
fn rules_of(text: &str) -> Vec<RuleEntry> {
    compiled(&format!("{text}\nbuiltin failsafe off\nbuiltin dhcp off\n")).entries
}

/// Action and rule id, as the program would find them.
fn walk(compiled: &Compiled, packet: &Packet) -> (u8, u32) {
    let tuple = packet.tuple();
    let inbound = packet.direction == PacketDirection::In;
    match compiled.entries.iter().find(|entry| matches(entry, &tuple)) {
        Some(entry) => (entry.action, entry.rule),
        None if inbound => (compiled.header.default_in, rule::DEFAULT_IN),
        None => (compiled.header.default_out, rule::DEFAULT_OUT),
    }
}

proptest! {
    #[test]
    fn compiled_entries_decide_as_the_evaluator_does(policy in arbitrary::policy(), seed in any::<u64>()) {
        let mut ids = RuleIds::new();
        let Ok(compiled) = compile(&policy, &mut ids) else { return Ok(()) };
        prop_assert!(compiled.entries.len() <= MAX_RULE_ENTRIES as usize);
        let mut picker = Picker(seed);
        for _ in 0..200 {
            let packet = picker.packet(&policy);
            let decision = evaluate(&policy, &packet);
            let expected = (action(decision.action), ids.get(decision.cause.name()).unwrap());
            prop_assert_eq!(walk(&compiled, &packet), expected, "{:?}\n{}", packet, compiled.text);
        }
    }

    #[test]
    fn entries_are_counted_before_they_are_made(policy in arbitrary::policy()) {
        let mut resolver = Resolver::new(Sets::new(&policy.defines));
        for rule in &policy.rules {
            let expansion = Expansion::new(&rule.selector, &mut resolver);
            let mut entries = Vec::new();
            expansion.write(&entry::empty(64, ACTION_ALLOW, 0), &mut entries);
            prop_assert_eq!(entries.len() as u64, expansion.count());
            prop_assert!(!entries.is_empty());
        }
    }
}

#[test]
fn an_empty_policy_has_the_failsafe_and_dhcp_only() {
    let compiled = compiled("");
    let ids: Vec<u32> = compiled.entries.iter().map(|entry| entry.rule).collect();
    assert_eq!(ids, [rule::FAILSAFE, rule::DHCP, rule::DHCP, rule::DHCP, rule::DHCP]);
    assert!(compiled.entries.iter().all(|entry| entry.action == ACTION_ALLOW));
    assert_eq!(compiled.header.builtins, 0x7f);
    assert_eq!(compiled.header.entries, 5);
    assert_eq!(compiled.header.text_bytes as usize, compiled.text.len());
}

#[test]
fn rules_stand_by_priority_then_deny_then_the_order_of_the_text() {
    let text = "rule late allow in any priority 2000\nrule b allow in tcp\nrule a deny in udp\nrule c deny in tcp\n\
                rule first allow in any priority 0";
    let compiled = compiled(text);
    let name = |id| compiled.rules.iter().find(|(known, _)| *known == id).map(|(_, name)| name.as_str());
    let order: Vec<&str> = compiled.entries.iter().filter_map(|entry| name(entry.rule)).collect();
    assert_eq!(order, ["first", "a", "c", "b", "late"]);
}

#[test]
fn a_family_needs_no_address_and_ipv4_is_mapped() {
    let all = rules_of("rule a allow in tcp from 0.0.0.0/0 to 10.0.0.0/8\nrule b allow in tcp from ::/0 to any");
    assert_eq!(
        all[0].matches & (MATCH_IPV4 | MATCH_IPV6 | MATCH_SOURCE | MATCH_DESTINATION),
        MATCH_IPV4 | MATCH_DESTINATION
    );
    assert_eq!(all[0].destination_mask, [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0]);
    assert_eq!(all[0].destination, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 0]);
    assert_eq!(all[1].matches & (MATCH_IPV4 | MATCH_IPV6 | MATCH_SOURCE | MATCH_DESTINATION), MATCH_IPV6);
}

#[test]
fn lists_expand_to_every_combination_that_can_match_in_the_fewest_networks() {
    let text = "define d = { 10.0.0.0/9, 10.128.0.0/9, 2001:db8::/32 }\n\
                rule a allow in tcp from d to 192.0.2.1,192.0.2.9,2001:db8::1 port 80,81,443";
    // 10.0.0.0/8 with two destinations, 2001:db8::/32 with one; ports 80-81 and 443.
    assert_eq!(rules_of(text).len(), 6);
}

#[test]
fn too_many_entries_are_refused_with_the_largest_rules_named() {
    let list: Vec<String> = (0..64).map(|n| format!("10.0.0.{}", n * 2)).collect();
    let list = list.join(",");
    let error = refused(&format!("rule small allow in tcp\nrule big allow in tcp from {list} to {list}"));
    assert!(error.message.contains("`big` 4096") && error.message.contains("1024 fit"), "{error}");
}

#[test]
fn a_large_set_in_many_rules_is_refused_without_delay() {
    let members: Vec<String> =
        (0..30_000u32).map(|n| format!("10.{}.{}.{}", n >> 15, n >> 7 & 255, n << 1 & 255)).collect();
    let rules: String = (0..1000).map(|n| format!("rule r{n} allow in tcp from d to d\n")).collect();
    let error = refused(&format!("define d = {}\n{rules}", members.join(",")));
    assert!(error.message.contains("`r0` 900000000"), "{error}");
}

#[test]
fn too_many_rules_and_too_much_text_are_refused() {
    let rules: String = (0..1025).map(|n| format!("rule r{n} allow in tcp\n")).collect();
    assert!(refused(&rules).message.contains("1025 rules"));
    let set: Vec<String> = (0..100_000).map(|n| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
    assert!(refused(&format!("define d = {}", set.join(","))).message.contains("bytes of text"));
}

#[test]
fn a_rule_that_stays_keeps_its_id() {
    let mut ids = RuleIds::new();
    compile(&parse("one", "rule a allow in tcp\nrule b allow in tcp").unwrap(), &mut ids).unwrap();
    let again = compile(&parse("two", "rule c allow in tcp\nrule b allow in tcp").unwrap(), &mut ids).unwrap();
    assert_eq!(again.rules, [(66, "c".to_owned()), (65, "b".to_owned())]);
}

#[test]
fn a_model_that_the_language_cannot_say_is_refused() {
    let mut policy = parse("test", "rule a allow in tcp").unwrap();
    policy.rules[0].selector.from.addresses = Addresses::List(Vec::new());
    assert_eq!(compile(&policy, &mut RuleIds::new()).unwrap_err().code, Code::InvalidPolicy);
    policy.rules[0].selector.from.addresses = Addresses::Any;
    policy.rules[0].name = "arp".to_owned();
    assert_eq!(compile(&policy, &mut RuleIds::new()).unwrap_err().code, Code::InvalidPolicy);
}
