//! Which generations are kept, in which slots, under which pins.

use std::{fs, io};

use mseg_ebpf::abi::{config::Config, policy::POLICY_SLOTS};

use crate::{
    error::{Error, Result},
    instance::{Instance, kept::OUTER},
};

/// The number of the next generation. It is never that of one that sessions may have been judged in, and its slot is
/// never that of the active one, nor of the one before, to which a rollback goes back.
pub(super) fn next_generation(config: &Config, kept: &[u32]) -> u32 {
    const { assert!(POLICY_SLOTS > 2) };
    let needed = [config.generation, config.previous_generation].map(|generation| match generation {
        0 => None,
        some => Some(some % POLICY_SLOTS),
    });
    let mut next = kept.iter().copied().fold(config.generation, u32::max);
    loop {
        next = next.wrapping_add(1);
        if next != 0 && !needed.contains(&Some(next % POLICY_SLOTS)) {
            return next;
        }
    }
}

/// The pinned generations that are in their slots. The pins of all others, left by an apply that was killed, are
/// removed.
pub(super) fn kept(instance: &Instance, active: u32) -> Result<Vec<u32>> {
    let mut kept = Vec::new();
    for generation in instance.generations()? {
        if generation == active || in_slot(instance, generation)? {
            kept.push(generation);
        } else {
            remove_pins(instance, generation)?;
        }
    }
    Ok(kept)
}

/// Whether the maps of a generation are where the programs look for them.
pub(super) fn in_slot(instance: &Instance, generation: u32) -> Result<bool> {
    for outer in OUTER {
        // For user space, what is in a slot is the inner map's id.
        let slot: Option<u32> = instance.map(outer)?.get(&(generation % POLICY_SLOTS))?;
        let pinned = instance.inner(outer, generation)?;
        if slot.is_none() || slot != pinned.map(|map| map.info().id) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn remove_pins(instance: &Instance, generation: u32) -> Result<()> {
    let directory = instance.paths().generation(generation);
    for outer in OUTER {
        let path = directory.join(outer);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file("remove", &path, &e));
            }
            _ => {}
        }
    }
    match fs::remove_dir(&directory) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", &directory, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn next(generation: u32, previous_generation: u32, kept: &[u32]) -> u32 {
        next_generation(&Config { generation, previous_generation, ..Config::new_zeroed() }, kept)
    }

    #[test]
    fn a_generation_never_takes_the_active_slot_or_an_old_number() {
        assert_eq!(next(0, 0, &[]), 1);
        assert_eq!(next(1, 0, &[1]), 2);
        assert_eq!(next(7, 6, &[4, 5, 6, 7]), 8);
        // Back at 1 while 2 to 4 are kept: 5 would overwrite the slot of 1.
        assert_eq!(next(1, 0, &[1, 2, 3, 4]), 6);
        assert_eq!(next(u32::MAX, 0, &[u32::MAX]), 1);
    }

    #[test]
    fn a_generation_never_takes_the_slot_of_the_one_before() {
        // 5 and 6 were tried and undone: 7 and 8 would overwrite the slots of 3 and 4.
        assert_eq!(next(4, 3, &[3, 4, 5, 6]), 9);
        assert_eq!(next(1, 2, &[1, 2, 3, 4]), 7);
    }
}
