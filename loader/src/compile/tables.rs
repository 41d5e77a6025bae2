//! The look-up tables of one generation, as the maps hold them, and the programs' own walk through them.

use mseg_ebpf::{
    abi::policy::{
        Bucket4, Bucket6, ClassPage, NamedRule, Page, PolicyHeader, Profile, Verdict, VerdictBucket, VerdictEntry,
    },
    policy::{
        Entry, Maps, Question, Steps, Tuple, find_interface, find_network, find_service, find_source_port,
        likely_length, look_up, note_address, try_shapes,
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
    pub classes: Vec<ClassPage>,
    /// PROFILES.
    pub profiles: Vec<Profile>,
    /// NETWORKS4.
    pub networks4: Vec<Bucket4>,
    /// NETWORKS6.
    pub networks6: Vec<Bucket6>,
    /// FILTER.
    pub filter: Vec<u64>,
    /// VERDICTS.
    pub verdicts: Vec<VerdictBucket>,
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
        let audited = audited.filter(|(bit, rule)| audits >> bit & 1 != 0 && **rule < verdict);
        Some(Answer {
            verdict: verdict.is_some().then_some(verdict),
            audited: audited.map(|(_, rule)| *rule).collect(),
            look_ups: tables.look_ups.get(),
        })
    }

    /// The entries of VERDICTS, in no order.
    pub fn verdicts(&self) -> impl Iterator<Item = &VerdictEntry> {
        self.verdicts.iter().flat_map(|bucket| &bucket.entries).filter(|entry| entry.is_some())
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
            && self.profiles == other.profiles
            && self.networks4 == other.networks4
            && self.networks6 == other.networks6
            && self.filter == other.filter
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

    fn classes(&self, number: u32) -> Option<&ClassPage> {
        self.count();
        self.tables.classes.get(number as usize)
    }

    fn profile(&self, number: u32) -> Option<&Profile> {
        self.count();
        self.tables.profiles.get(number as usize)
    }

    fn networks4(&self, number: u32) -> Option<&Bucket4> {
        self.count();
        self.tables.networks4.get(number as usize)
    }

    fn networks6(&self, number: u32) -> Option<&Bucket6> {
        self.count();
        self.tables.networks6.get(number as usize)
    }

    fn filter(&self, number: u32) -> Option<&u64> {
        self.count();
        self.tables.filter.get(number as usize)
    }

    fn fetch(&self, _: &u64) {}

    fn verdicts(&self, number: u32) -> Option<&VerdictBucket> {
        self.count();
        self.tables.verdicts.get(number as usize)
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

    fn likely_length(&mut self, header: &PolicyHeader, space: usize, address: [u64; 2]) -> u8 {
        likely_length(&self.tables, header, &mut self.question, space, address)
    }

    fn find_network(&mut self, header: &PolicyHeader, space: usize, length: u8) -> Option<bool> {
        find_network(&self.tables, header, &mut self.question, space, length)
    }

    fn note_address(&mut self, space: usize) -> bool {
        note_address(&self.tables, &mut self.question, space)
    }

    fn find_source_port(&mut self) -> bool {
        find_source_port(&self.tables, &mut self.question)
    }

    fn find_interface(&mut self, header: &PolicyHeader) -> bool {
        find_interface(&self.tables, header, &mut self.question)
    }

    fn try_shapes(&mut self, header: &PolicyHeader) -> bool {
        try_shapes(&self.tables, header, &mut self.question)
    }
}
