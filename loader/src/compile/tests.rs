//! The tables, walked as the programs walk them, against the reference evaluator.

use mseg_ebpf::{
    abi::{
        policy::{VerdictBucket, VerdictEntry},
        rule,
    },
    policy::buckets,
};

use super::{check::difference, *};
use crate::policy::{
    arbitrary::{Random, boundary_packets, random_packets, random_policy},
    evaluate::{Packet, PacketDirection},
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

/// A packet of TCP.
fn tcp(source: &str, destination: &str, port: u16) -> Packet {
    Packet {
        direction: PacketDirection::In,
        protocol: 6,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        source_port: 40_000,
        destination_port: port,
        icmp_type: 0,
        icmp_code: 0,
        interface: "eth0".to_owned(),
    }
}

fn look_ups(compiled: &Compiled, packet: &Packet) -> u32 {
    compiled.tables.look_up(&packet.tuple()).unwrap().look_ups
}

/// A few; tests/policy_agreement has many, and the programs.
#[test]
fn the_tables_decide_as_the_evaluator_does() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let policy = random_policy(&mut random, seed as usize % 20);
        let mut ids = RuleIds::new();
        let compiled = compile(&policy, &mut ids).unwrap();
        let packets = [boundary_packets(&policy, &mut random), random_packets(&policy, &mut random, 100)].concat();
        for packet in packets {
            let difference = difference(&policy, &compiled.tables, &ids, &packet);
            assert_eq!(difference, None, "seed {seed}:\n{}", compiled.text);
        }
    }
}

#[test]
fn an_empty_policy_has_the_failsafe_and_dhcp_only() {
    let compiled = compiled("");
    let mut ids: Vec<u32> = compiled.tables.verdicts().map(|entry| entry.verdict.rule()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, [rule::DHCP, rule::FAILSAFE]);
    assert!(compiled.tables.verdicts().all(|entry| entry.verdict.allows()));
    assert_eq!(compiled.tables.header.builtins, 0x7f);
    assert_eq!(compiled.tables.header.text_bytes as usize, compiled.text.len());
}

#[test]
fn a_hundred_times_the_rules_take_the_same_look_ups_but_for_full_buckets() {
    let host = |n: u32| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
    let policy = |rules: u32| {
        (0..rules).map(|n| format!("rule r{n} allow in tcp from {} to any port 443\n", host(n))).collect::<String>()
    };
    let (few, many) = (compiled(&policy(100)), compiled(&policy(10_000)));
    let of = |compiled: &Compiled, n: u32| look_ups(compiled, &tcp(&host(n), "192.0.2.1", 443));
    let (of_few, of_many) = ((0..100).map(|n| of(&few, n)), (0..10_000).map(|n| of(&many, n)));
    // Two of them may have to look into a second bucket.
    let least = of_few.clone().min().unwrap();
    assert!(of_few.chain(of_many).all(|count| (least..=least + 2).contains(&count)), "{least}");
    assert_eq!(many.tables.header.verdicts - few.tables.header.verdicts, 9_900);
}

#[test]
fn every_entry_is_found_in_its_buckets_however_many_there_are() {
    for count in [0, 1, 2, 3, 4, 5, 7, 100, 1_000, 100_000] {
        let key = |n: u64| n.wrapping_mul(n) ^ n << 40;
        let keys: std::collections::BTreeSet<u64> = (1..=count).map(key).collect();
        let entry = |key: &u64| VerdictEntry { key: *key, verdict: Verdict::new(*key as u32, 64, true, false) };
        let entries: Vec<VerdictEntry> = keys.iter().map(entry).collect();
        let filled: Vec<VerdictBucket> = bucket::fill(entries.clone());
        assert_eq!(filled, bucket::fill(entries.iter().rev().copied().collect()), "{count}: another order");
        assert!(filled.len() * 4 <= entries.len() * 2 + 4, "{count}: {} buckets", filled.len());
        for entry in &entries {
            let [first, second] = buckets(entry.key, filled.len() as u32).map(|number| filled[number as usize]);
            let found = first.find(entry.key).or_else(|| second.find(entry.key).filter(|_| first.is_full()));
            assert_eq!(found, Some(entry), "{count}");
        }
        let others = (1..=count + 9).map(|n| !key(n)).filter(|other| !keys.contains(other));
        for other in others {
            let found = buckets(other, filled.len() as u32).map(|number| filled[number as usize].find(other).is_some());
            assert_eq!(found, [false; 2], "{count}");
        }
    }
}

#[test]
fn many_ports_for_one_network_beside_many_hosts_for_every_port_take_few_entries() {
    let ports = (0..5_000).map(|port| format!("rule p{port} allow in tcp from 10.0.0.0/8 to any port {port}\n"));
    let hosts = (0..5_000).map(|n| format!("rule h{n} deny in tcp from 10.0.{}.{} priority 5\n", n >> 8, n & 255));
    let compiled = compiled(&ports.chain(hosts).collect::<String>());
    assert!(compiled.tables.header.verdicts < 50_000, "{}", compiled.tables.header.verdicts);
    let name = |source: &str, port| {
        let id = compiled.tables.look_up(&tcp(source, "192.0.2.1", port).tuple()).unwrap().verdict.unwrap().rule();
        compiled.rules.iter().find(|(known, _)| *known == id).unwrap().1.as_str()
    };
    assert_eq!((name("10.0.1.1", 80), name("10.1.1.1", 80)), ("h257", "p80"));
}

#[test]
fn what_does_not_fit_is_refused_with_the_largest_rules_named() {
    // Each rule looks at another half of all hosts, both ways, so that all of them together tell every pair apart.
    let half = |net: u8, bit: u32| {
        let hosts = (0..2_048u32).filter(|n| n >> bit & 1 == 1).map(|n| format!("10.{net}.{}.{}", n >> 8, n & 255));
        hosts.collect::<Vec<_>>().join(",")
    };
    let rule = |bit| format!("rule half{bit} allow in tcp from {} to {}\n", half(1, bit), half(2, bit));
    let error = refused(&(0..11).map(rule).collect::<String>());
    assert!(error.message.contains("the largest rules: `half0` 1048576, `half1` 1048576"), "{error}");
}

#[test]
fn a_wide_rule_over_many_narrow_ones_takes_few_entries() {
    let list = |net: u8| (0..1_000).map(|n| format!("10.{net}.{}.{}", n >> 8, n & 255)).collect::<Vec<_>>();
    let (from, to) = (list(1), list(2));
    let single = |side: &str, hosts: &[String]| {
        let rule = |(n, host)| format!("rule {side}{n} allow in udp {side} {host}\n");
        hosts.iter().enumerate().map(rule).collect::<String>()
    };
    let (each, every) = (single("from", &from) + &single("to", &to), [from.join(","), to.join(",")]);
    let compiled = compiled(&format!("{each}rule wide allow in tcp from {} to {}\n", every[0], every[1]));
    assert!(compiled.tables.header.verdicts < 10_000, "{}", compiled.tables.header.verdicts);
}

#[test]
fn a_rule_for_a_whole_family_is_not_split_by_narrow_ones() {
    let mut random = Random(5);
    let mut network = || {
        let length = 1 + random.below(31) as u32;
        let bits = (random.below(1 << 16) << 16 | random.below(1 << 16)) as u32;
        format!("{}/{length}", std::net::Ipv4Addr::from(bits & u32::MAX << (32 - length)))
    };
    let rules: String = (0..400)
        .map(|n| format!("rule r{n} allow in tcp from {} to {} port {}-65535\n", network(), network(), 1 + n * 150))
        .collect();
    let (with, without) = (compiled(&rules), compiled(&format!("{rules}builtin dhcp off\n")));
    let [with, without] = [with, without].map(|compiled| compiled.tables.header.verdicts);
    assert!(with < without + without / 4, "{with} entries with DHCP's rules, {without} without");
}

#[test]
fn more_rules_with_audit_than_can_be_tried_are_refused_by_name() {
    let text: String = (0..65).map(|n| format!("rule r{n} deny in tcp to any port {n} audit\n")).collect();
    assert!(refused(&text).message.contains("`r64`"));
}

#[test]
fn too_many_networks_are_refused_with_the_largest_rules_named() {
    let mut policy =
        parse("test", "define d = 10.0.0.1\nrule small allow in udp\nrule big allow in tcp from d").unwrap();
    let host = |n: u32| Address::Network(IpNet::V4(std::net::Ipv4Addr::from(n * 2).into()));
    policy.defines[0].members = (0..=MAX_NETWORKS as u32).map(host).collect();
    // Without text: reading that takes longer than all of this.
    let ids = [(64, "small".to_owned()), (65, "big".to_owned())];
    let error = tables(&policy, &ids, 0).unwrap_err();
    assert!(error.message.ends_with("the largest rules: `big` 1048577"), "{error}");
}

#[test]
fn rules_whose_ports_overlap_too_much_are_refused_by_name() {
    let nested = (1..=8_192).map(|port| format!("rule r{port} allow in tcp to any port {port}-65535\n"));
    let small = (1..=50).map(|port| format!("rule small{port} allow in udp to any port {port}\n"));
    let error = refused(&small.chain(nested).collect::<String>());
    assert!(error.message.contains("the ports of the rules overlap too much"), "{error}");
    assert!(error.message.ends_with("those that overlap most: `r1`, `r2`, `r3`, `r4`, `r5`"), "{error}");
}

#[test]
fn built_in_rules_are_not_named_among_those_that_overlap_too_much() {
    // All IPv4 addresses of DHCP are in each of the parts, too, but nobody wrote them.
    let wide = |n| format!("rule wide{n:04} allow in tcp from 10.0.0.0/8,192.168.{}.{}\n", n >> 8, n & 255);
    let host = |n| format!("rule host{n} allow in tcp from 10.0.{}.{}\n", n >> 8, n & 255);
    let error = refused(&(0..5_900).map(|n| wide(n) + &host(n)).collect::<String>());
    assert!(error.message.contains("the sources of the rules overlap too much"), "{error}");
    assert!(
        error.message.ends_with("those that overlap most: `wide0000`, `wide0001`, `wide0002`, `wide0003`, `wide0004`"),
        "{error}"
    );
}

#[test]
fn a_rule_that_stays_keeps_its_id() {
    let mut ids = RuleIds::new();
    compile(&parse("one", "rule a allow in tcp\nrule b allow in tcp").unwrap(), &mut ids).unwrap();
    let again = compile(&parse("two", "rule c allow in tcp\nrule b allow in tcp").unwrap(), &mut ids).unwrap();
    assert_eq!(again.rules, [(66, "c".to_owned()), (65, "b".to_owned())]);
}

#[test]
fn a_policy_compiles_to_the_same_tables_every_time() {
    let text = "define d = { 10.0.0.0/8, 10.1.0.0/16, 2001:db8::/32 }\nrule a allow in tcp from d to any port 80-90,443\n\
                rule b deny both udp from 10.1.2.3 to d port 53 iface eth0\nrule c allow in tcp from any port 1024-2048";
    assert!(compiled(text).tables.says_the_same(&compiled(text).tables));
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
