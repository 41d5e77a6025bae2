//! The compiled tables, walked on the host.

use anyhow::{Context, Result, anyhow, ensure};
use mseg::{
    compile::{RuleIds, Tables, compile, difference},
    error::Code,
    policy::{
        Policy,
        evaluate::{Cause, Packet, evaluate},
        parse,
    },
};

use crate::{
    coverage::Coverage,
    run::{Failure, Judge, smallest},
};

/// Needs no kernel.
#[derive(Debug)]
pub(crate) struct Host;

impl Judge for Host {
    fn judge(&mut self, policy: &Policy, packets: &[Packet], coverage: &mut Coverage) -> Result<(), Failure> {
        let mut ids = RuleIds::new();
        let compiled = match compile(policy, &mut ids) {
            Ok(compiled) => compiled,
            Err(error) if error.code == Code::InvalidPolicy && error.message.contains("fit") => {
                coverage.refused += 1;
                return Ok(());
            }
            Err(error) => return Err(anyhow!("{error}").into()),
        };
        agrees(policy, &compiled.tables, &ids, packets, coverage)
    }
}

/// Compares tables with the policy they are said to be made of.
pub(crate) fn agrees(
    policy: &Policy,
    tables: &Tables,
    ids: &RuleIds,
    packets: &[Packet],
    coverage: &mut Coverage,
) -> Result<(), Failure> {
    coverage.tables(tables);
    for packet in packets {
        if let Some(difference) = difference(policy, tables, ids, packet) {
            return Err(Failure { packet: Some(packet.clone()), error: anyhow!(difference) });
        }
        coverage.packets += 1;
        let answer = tables.look_up(&packet.tuple()).context("the tables are damaged")?;
        coverage.look_ups = coverage.look_ups.max(answer.look_ups);
        coverage.audited += u64::from(!answer.audited.is_empty());
        coverage.defaults += u64::from(answer.verdict.is_none());
    }
    Ok(())
}

/// Tables that lack the verdict of one rule.
struct Wrong;

impl Judge for Wrong {
    fn judge(&mut self, policy: &Policy, packets: &[Packet], coverage: &mut Coverage) -> Result<(), Failure> {
        let mut ids = RuleIds::new();
        let mut tables = compile(policy, &mut ids).context("it does not compile")?.tables;
        let wrong = ids.get("wrong");
        let entries = tables.verdicts.iter_mut().flat_map(|bucket| &mut bucket.entries);
        // No packet has this key; the buckets stay as full as they are.
        entries.filter(|entry| Some(entry.verdict.rule()) == wrong).for_each(|entry| entry.key = u64::MAX);
        agrees(policy, &tables, &ids, packets, coverage)
    }
}

/// The proof fails where it must, and shows why.
pub(crate) fn a_wrong_table_is_found() -> Result<()> {
    let text = "rule a allow in udp from 10.0.0.0/8,10.1.0.0/16 to any port 53\nrule b deny out tcp log\n\
                rule wrong deny in tcp from 10.0.0.0/8,192.0.2.0/24 to any port 80,443\nrule c allow in tcp";
    let policy = parse("test", text)?;
    let mut random = mseg::policy::arbitrary::Random(1);
    let packets = mseg::policy::arbitrary::boundary_packets(&policy, &mut random);
    let failure = Wrong.judge(&policy, &packets, &mut Coverage::default()).err().context("it is not found")?;
    let packet = failure.packet.as_ref().context("of no packet")?;
    ensure!(matches!(evaluate(&policy, packet).cause, Cause::Rule(rule) if rule.name == "wrong"), "{packet:?}");
    let small = smallest(&policy, &failure, &mut Wrong);
    ensure!(small.rules.len() == 1 && small.rules[0].selector.from.addresses.list().len() == 1, "{small}");
    ensure!(small.failsafe.len() == 1, "a policy without failsafe lines says what the language cannot:\n{small}");
    Ok(())
}
