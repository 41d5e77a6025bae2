//! The look-up tables of one generation, as the maps hold them, and the programs' own walk through them.

use std::collections::HashMap;

use mseg_ebpf::{
    abi::policy::{AddressKey, Class, Combination, NamedRule, Page, PolicyHeader, Verdict},
    policy::{
        Maps, NO_RULE, Question, Steps, Tuple, find_address, find_interface, find_service, find_source_port, look_up,
        try_shapes,
    },
};

/// What the maps of a generation hold but for its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// POLICY.
    pub header: PolicyHeader,
    /// RULES.
    pub rules: Vec<NamedRule>,
    /// SERVICES.
    pub pages: Vec<Page>,
    /// CLASSES.
    pub classes: Vec<Class>,
    /// ADDRESSES.
    pub addresses: HashMap<AddressKey, Class>,
    /// VERDICTS.
    pub verdicts: HashMap<Combination, Verdict>,
}

/// What the tables say of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The verdict, none if the default of the direction decides.
    pub verdict: Option<Verdict>,
    /// The rules with `audit` that come before it, in their order.
    pub audited: Vec<Verdict>,
    /// Look-ups that it took.
    pub look_ups: u32,
}

impl Tables {
    /// Looks a packet up as the programs do. `None` if the tables are damaged.
    pub fn look_up(&self, tuple: &Tuple) -> Option<Answer> {
        let mut walk = Walk {
            tables: Counting { tables: self, look_ups: 0.into() },
            question: Question { tuple: *tuple, ..Question::default() },
        };
        look_up(&mut walk, &self.header)?;
        let Walk { tables, question: Question { verdict, audits, .. } } = walk;
        let audited = self.header.audit_rules.iter().enumerate();
        let audited = audited.filter(|(bit, rule)| audits >> bit & 1 != 0 && rule.precedence < verdict.precedence);
        Some(Answer {
            verdict: (verdict.precedence != NO_RULE).then_some(verdict),
            audited: audited.map(|(_, rule)| *rule).collect(),
            look_ups: tables.look_ups.get(),
        })
    }

    /// The same but for what is only known when it is put into the kernel: number and time of the generation.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let header = PolicyHeader {
            generation: other.header.generation,
            applied_unix_ns: other.header.applied_unix_ns,
            ..self.header
        };
        header == other.header
            && self.rules == other.rules
            && self.pages == other.pages
            && self.classes == other.classes
            && self.addresses == other.addresses
            && self.verdicts == other.verdicts
    }
}

struct Counting<'a> {
    tables: &'a Tables,
    look_ups: std::cell::Cell<u32>,
}

impl Counting<'_> {
    fn count(&self) {
        self.look_ups.update(|count| count + 1);
    }
}

impl Maps for Counting<'_> {
    fn page(&self, number: u32) -> Option<&Page> {
        self.count();
        self.tables.pages.get(number as usize)
    }

    fn class(&self, number: u32) -> Option<&Class> {
        self.count();
        self.tables.classes.get(number as usize)
    }

    fn address(&self, key: &AddressKey) -> Option<&Class> {
        self.count();
        self.tables.addresses.get(key)
    }

    fn verdict(&self, combination: &Combination) -> Option<&Verdict> {
        self.count();
        self.tables.verdicts.get(combination)
    }
}

struct Walk<'a> {
    tables: Counting<'a>,
    question: Question,
}

impl Steps for Walk<'_> {
    fn question(&mut self) -> Option<&mut Question> {
        Some(&mut self.question)
    }

    fn find_service(&mut self) -> bool {
        find_service(&self.tables, &mut self.question)
    }

    fn find_address(&mut self, header: &PolicyHeader, space: u8) -> bool {
        find_address(&self.tables, header, &mut self.question, space);
        true
    }

    fn find_source_port(&mut self) -> bool {
        find_source_port(&self.tables, &mut self.question)
    }

    fn find_interface(&mut self, header: &PolicyHeader) -> bool {
        find_interface(&self.tables, header, &mut self.question);
        true
    }

    fn try_shapes(&mut self, header: &PolicyHeader, shapes: u64) -> bool {
        try_shapes(&self.tables, header, &mut self.question, shapes);
        true
    }
}
