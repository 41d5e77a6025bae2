//! Rules with `audit`: what they would decide is counted and reported, and has no other effect.

use mseg_ebpf::abi::{policy::MAX_AUDITS, reason::Reason, session::SessionKey};

use super::{account, classify, env::Env, events};

/// Counts and reports the rules that the question's answer says match and that come before what decides.
#[unsafe(no_mangle)]
pub extern "C" fn report(env: *const Env, key: *const SessionKey) -> u32 {
    // SAFETY: the caller's, or null.
    let (Some(env), Some(key)) = (unsafe { (env.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    let (Some(header), Some(question)) = (classify::header(env.generation), classify::question()) else {
        return 0;
    };
    // Of a packet that another interface has counted nothing is counted again.
    if question.audits == 0 || env.is_counted() {
        return 0;
    }
    for number in 0..MAX_AUDITS {
        let rule = header.audit_rules[number];
        if question.audits >> number == 0 || rule > question.verdict {
            break;
        }
        if question.audits >> number & 1 == 0 {
            continue;
        }
        account::hit(env, rule.rule(), true);
        let allow = rule.allows();
        let reason = if allow { Reason::RuleAllow } else { Reason::RuleDeny };
        events::emit_audited(env, key, rule.rule(), events::pack(reason, env.verdict(allow), 0));
    }
    1
}
