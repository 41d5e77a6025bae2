//! Rule ids: one for each name, kept as long as the name is known.

use std::collections::{BTreeMap, BTreeSet};

use mseg_ebpf::abi::rule;

use crate::error::{Error, Result};

/// Gives ids to names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleIds {
    by_name: BTreeMap<String, u32>,
    used: BTreeSet<u32>,
    /// The first id that a new name may get.
    next: u32,
}

impl RuleIds {
    /// No names yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The names that have ids, as RULES says. Reserved ids are ignored: theirs never change.
    pub fn from_names(names: impl IntoIterator<Item = (u32, String)>) -> Self {
        let mut ids = Self::new();
        for (id, name) in names {
            if id >= rule::FIRST && !ids.by_name.contains_key(&name) && ids.used.insert(id) {
                ids.by_name.insert(name, id);
            }
        }
        ids
    }

    /// The same, but new names get ids from `next` on, as long as there are such.
    pub fn starting_at(self, next: u32) -> Self {
        Self { next, ..self }
    }

    /// The id after the latest that was given.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The id of a name, reserved or known.
    pub fn get(&self, name: &str) -> Option<u32> {
        let reserved = rule::RESERVED_NAMES.iter().zip(0..).find(|(reserved, _)| **reserved == name);
        reserved.map(|(_, id)| id).or_else(|| self.by_name.get(name).copied())
    }

    /// The id of a name; a name that has none gets the next that none has had, if there is one.
    ///
    /// # Errors
    /// [`crate::error::Code::Failed`] if all are in use.
    pub fn id(&mut self, name: &str) -> Result<u32> {
        if let Some(id) = self.get(name) {
            return Ok(id);
        }
        let free = (self.next.max(rule::FIRST)..rule::LIMIT).find(|id| !self.used.contains(id));
        // All were given once: now those that are free come again.
        let free = free.or_else(|| (rule::FIRST..rule::LIMIT).find(|id| !self.used.contains(id)));
        let Some(free) = free else {
            let message = format!("there is no id for rule `{name}`: all {} are in use", rule::LIMIT - rule::FIRST);
            return Err(Error::failed(message).hint("ids of deleted rules become free when their generations go"));
        };
        self.next = free + 1;
        self.used.insert(free);
        self.by_name.insert(name.to_owned(), free);
        Ok(free)
    }

    /// Every name that is not reserved with its id, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.by_name.iter().map(|(name, id)| (name.as_str(), *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id_and_a_new_one_gets_one_that_none_has_had() {
        let mut ids = RuleIds::from_names([(64, "a".to_owned()), (66, "c".to_owned()), (3, "arp".to_owned())]);
        assert_eq!(ids.id("c").unwrap(), 66);
        assert_eq!(ids.id("b").unwrap(), 65);
        assert_eq!(ids.id("d").unwrap(), 67);
        assert_eq!(ids.id("failsafe").unwrap(), rule::FAILSAFE);
        let mut later = RuleIds::from_names([(64, "a".to_owned())]).starting_at(ids.next());
        assert_eq!((later.id("a").unwrap(), later.id("e").unwrap()), (64, 68));
    }

    #[test]
    fn ids_beyond_the_counters_are_refused() {
        let mut ids = RuleIds::new();
        for number in rule::FIRST..rule::LIMIT {
            assert_eq!(ids.id(&format!("r{number}")).unwrap(), number);
        }
        assert!(ids.id("one-more").is_err());
        assert_eq!(ids.get("one-more"), None);
    }
}
