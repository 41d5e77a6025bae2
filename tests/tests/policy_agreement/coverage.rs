//! What the policies of a run had in them: a run whose policies are too much alike proves little.

use std::fmt;

use anyhow::{Result, ensure};
use mseg::compile::Tables;
use mseg_ebpf::abi::policy::thing::{INTERFACE, SOURCE_PORT};

/// Policies by what their tables have; packets by what decided.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coverage {
    /// Policies.
    pub(crate) policies: u64,
    /// Packets that were looked up.
    pub(crate) packets: u64,
    /// Those of them that the programs judged.
    pub(crate) judged: u64,
    /// Packets that a rule with `audit` would have decided.
    pub(crate) audited: u64,
    /// Packets that no rule decided.
    pub(crate) defaults: u64,
    /// Policies that were refused, since they do not fit.
    pub(crate) refused: u64,
    layers: [u64; 3],
    source_ports: u64,
    interfaces: u64,
    audits: u64,
    /// The most shapes, rules, verdicts and look-ups.
    shapes: u8,
    rules: usize,
    verdicts: u32,
    pub(crate) look_ups: u32,
}

impl Coverage {
    /// Counts a policy by its tables.
    pub(crate) fn tables(&mut self, tables: &Tables) {
        let header = &tables.header;
        self.policies += 1;
        let shapes = &header.shapes[..header.shape_count.into()];
        for (layer, count) in (0u8..).zip(&mut self.layers) {
            *count += u64::from(shapes.iter().any(|shape| shape.layers[..SOURCE_PORT].contains(&layer)));
        }
        self.source_ports += u64::from(header.looks[SOURCE_PORT] != 0);
        self.interfaces += u64::from(header.looks[INTERFACE] != 0);
        self.audits += u64::from(header.audit_count > 0);
        self.shapes = self.shapes.max(header.shape_count);
        self.rules = self.rules.max(tables.rules.len());
        self.verdicts = self.verdicts.max(header.verdicts);
    }

    /// Both.
    pub(crate) fn add(&mut self, other: &Self) {
        self.policies += other.policies;
        self.packets += other.packets;
        self.judged += other.judged;
        self.audited += other.audited;
        self.defaults += other.defaults;
        self.refused += other.refused;
        self.layers.iter_mut().zip(other.layers).for_each(|(sum, more)| *sum += more);
        self.source_ports += other.source_ports;
        self.interfaces += other.interfaces;
        self.audits += other.audits;
        self.shapes = self.shapes.max(other.shapes);
        self.rules = self.rules.max(other.rules);
        self.verdicts = self.verdicts.max(other.verdicts);
        self.look_ups = self.look_ups.max(other.look_ups);
    }

    /// Fails if the run says nothing about a part of the tables. A few policies need not have everything.
    pub(crate) fn is_wide(&self) -> Result<()> {
        let has_all = self.layers.iter().chain([&self.source_ports, &self.interfaces, &self.audits, &self.audited]);
        ensure!(
            self.policies < 100 || has_all.clone().all(|count| *count > 0),
            "the policies are too much alike: {self}"
        );
        ensure!(self.policies < 100 || self.refused * 50 < self.policies, "too many do not fit: {self}");
        Ok(())
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} policies, {} refused; with shapes of layer 0, 1, 2: {:?}, of source ports: {}, of interfaces: {}; with \
             audit: {}; at most {} shapes, {} rules, {} verdicts, {} look-ups; {} packets, {} judged by the programs, \
             {} audited, {} by default",
            self.policies,
            self.refused,
            self.layers,
            self.source_ports,
            self.interfaces,
            self.audits,
            self.shapes,
            self.rules,
            self.verdicts,
            self.look_ups,
            self.packets,
            self.judged,
            self.audited,
            self.defaults
        )
    }
}
