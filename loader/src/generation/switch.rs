//! The order in which CONFIG is written: after each store, wherever its writer is killed, the old or the new holds, and at
//! the deadline of a change that waits the old.

use mseg_ebpf::abi::config::Config;

use crate::instance::config::Store;

/// A deadline that is long over: the first nanosecond since the machine was started.
const LONG_OVER_NS: u64 = 1;

/// What is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) generation: u32,
    pub(super) mode: u32,
}

impl Target {
    /// What is stored.
    pub(super) fn of(config: &Config) -> Self {
        Self { generation: config.generation, mode: config.mode }
    }
}

/// From `config`, in which nothing waits, to `target`, which differs in one of its fields: for good, or until
/// `deadline_ns` unless it is confirmed.
pub(super) fn change(config: &Config, target: Target, deadline_ns: Option<u64>) -> Vec<Store> {
    debug_assert_eq!(config.deadline_ns, 0, "only one change waits at a time");
    let mut stores = match deadline_ns {
        Some(ns) => {
            vec![Store::FallbackGeneration(config.generation), Store::FallbackMode(config.mode), Store::Deadline(ns)]
        }
        None if target.generation != config.generation => vec![Store::PreviousGeneration(config.generation)],
        None => Vec::new(),
    };
    if target.generation != config.generation {
        stores.push(Store::Generation(target.generation));
    }
    if target.mode != config.mode {
        stores.push(Store::Mode(target.mode));
    }
    stores
}

/// Keeps the change that waits in `config`.
pub(super) fn confirm(config: &Config) -> Vec<Store> {
    let mut stores = Vec::new();
    if config.generation != config.fallback_generation {
        stores.push(Store::PreviousGeneration(config.fallback_generation));
    }
    stores.push(Store::Deadline(0));
    stores
}

/// Undoes the change that waits in `config`: generation and mode by one store, as if its time were up.
pub(super) fn undo(config: &Config) -> Vec<Store> {
    let mut stores = vec![Store::Deadline(LONG_OVER_NS)];
    stores.extend(settle(&Config { deadline_ns: LONG_OVER_NS, ..*config }, u64::MAX));
    stores
}

/// Makes what is stored say what holds at `now_ns`, so that the deadline can go.
pub(super) fn settle(config: &Config, now_ns: u64) -> Vec<Store> {
    if !Config::is_overdue(config.deadline_ns, now_ns) {
        return Vec::new();
    }
    vec![Store::Generation(config.fallback_generation), Store::Mode(config.fallback_mode), Store::Deadline(0)]
}

#[cfg(test)]
mod tests {
    use mseg_ebpf::abi::config::{MODE_ENFORCE, MODE_OBSERVE};
    use zerocopy::FromZeros;

    use super::*;

    const NOW: u64 = 1_000;
    const DEADLINE: u64 = 2_000;
    const OLD: Target = Target { generation: 7, mode: MODE_OBSERVE };

    /// What each field held before is left where it can do harm: an old fallback, an old previous generation.
    fn config() -> Config {
        Config {
            generation: OLD.generation,
            mode: OLD.mode,
            fallback_generation: 3,
            fallback_mode: MODE_ENFORCE,
            previous_generation: 5,
            ..Config::new_zeroed()
        }
    }

    fn after(mut config: Config, stores: &[Store]) -> Config {
        for store in stores {
            match *store {
                Store::Generation(value) => config.generation = value,
                Store::Mode(value) => config.mode = value,
                Store::Deadline(value) => config.deadline_ns = value,
                Store::FallbackGeneration(value) => config.fallback_generation = value,
                Store::FallbackMode(value) => config.fallback_mode = value,
                Store::PreviousGeneration(value) => config.previous_generation = value,
                Store::NextRule(value) => config.next_rule = value,
            }
        }
        config
    }

    fn holds(config: Config, now_ns: u64) -> Target {
        Target::of(&config.in_force(now_ns))
    }

    /// What holds now and at the deadline if the writer is killed before the first, the second, ... and after the last
    /// of its stores.
    fn killed(config: Config, stores: &[Store]) -> Vec<[Target; 2]> {
        let at = |count| after(config, &stores[..count]);
        (0..=stores.len()).map(|count| [NOW, DEADLINE].map(|time| holds(at(count), time))).collect()
    }

    const NEW: [Target; 2] =
        [Target { generation: 8, mode: MODE_OBSERVE }, Target { generation: 7, mode: MODE_ENFORCE }];

    #[test]
    fn killed_at_any_store_of_a_change_the_old_or_the_new_holds() {
        for new in NEW {
            let seen = killed(config(), &change(&config(), new, None));
            assert_eq!(seen.first(), Some(&[OLD, OLD]));
            assert_eq!(seen.last(), Some(&[new, new]));
            assert!(seen.iter().all(|pair| *pair == [OLD, OLD] || *pair == [new, new]), "{seen:?}");
        }
    }

    #[test]
    fn killed_at_any_store_of_a_change_that_waits_the_old_holds_at_the_deadline() {
        for new in NEW {
            let seen = killed(config(), &change(&config(), new, Some(DEADLINE)));
            assert_eq!(seen.last(), Some(&[new, OLD]));
            assert!(seen.iter().all(|[now, then]| [OLD, new].contains(now) && *then == OLD), "{seen:?}");
        }
    }

    #[test]
    fn killed_at_any_store_of_a_confirmation_the_new_holds_until_the_deadline_or_for_good() {
        for new in NEW {
            let waiting = after(config(), &change(&config(), new, Some(DEADLINE)));
            let seen = killed(waiting, &confirm(&waiting));
            assert_eq!(seen.last(), Some(&[new, new]));
            assert!(seen.iter().all(|pair| [[new, OLD], [new, new]].contains(pair)), "{seen:?}");
        }
    }

    #[test]
    fn killed_at_any_store_of_undoing_the_old_or_the_new_holds_and_the_old_at_the_deadline() {
        for new in NEW {
            let waiting = after(config(), &change(&config(), new, Some(DEADLINE)));
            let stores = undo(&waiting);
            let seen = killed(waiting, &stores);
            assert_eq!(seen[0], [new, OLD]);
            assert!(seen[1..].iter().all(|pair| *pair == [OLD, OLD]), "the first store does it: {seen:?}");
            assert_eq!(after(waiting, &stores).deadline_ns, 0);
        }
    }

    #[test]
    fn killed_at_any_store_of_settling_what_holds_stays() {
        for new in NEW {
            let waiting = after(config(), &change(&config(), new, Some(DEADLINE)));
            assert_eq!(settle(&waiting, DEADLINE - 1), []);
            let stores = settle(&waiting, DEADLINE);
            for count in 0..=stores.len() {
                assert_eq!(holds(after(waiting, &stores[..count]), DEADLINE), OLD);
            }
            assert_eq!(after(waiting, &stores).deadline_ns, 0);
        }
    }

    #[test]
    fn what_was_active_before_is_known_after_a_change_a_confirmation_and_a_fallback() {
        let [policy, mode] = NEW;
        let changed = after(config(), &change(&config(), policy, None));
        assert_eq!(changed.previous_generation, OLD.generation);
        let waiting = after(config(), &change(&config(), policy, Some(DEADLINE)));
        assert_eq!(after(waiting, &confirm(&waiting)).previous_generation, OLD.generation);
        assert_eq!(after(waiting, &undo(&waiting)).previous_generation, 5);
        let waiting = after(config(), &change(&config(), mode, Some(DEADLINE)));
        assert_eq!(after(waiting, &confirm(&waiting)).previous_generation, 5);
    }
}
