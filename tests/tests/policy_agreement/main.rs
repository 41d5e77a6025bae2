//! What a policy means, in three ways: the reference evaluator, the compiled tables (as they are read back from the
//! kernel), and the loaded programs, packet by packet.
//!
//! `MSEG_POLICIES` is how many policies are made, `MSEG_PACKETS` how many packets for each at least: all at the edges of
//! its rules, and random ones. `MSEG_SEED` is the number of the first policy, by which one that failed can be made again.

mod coverage;
mod frame;
mod host;
mod large;
mod program;
mod run;

use std::time::Duration;

use anyhow::Result;
use mseg_tests::require_root;

use run::Run;

#[test]
fn the_compiled_tables_decide_as_the_evaluator_does() -> Result<()> {
    Run::from_environment(200, 200)?.on_the_host()
}

#[test]
fn the_loaded_programs_decide_as_the_evaluator_does() -> Result<()> {
    require_root!();
    Run::from_environment(100, 200)?.in_the_kernel()
}

#[test]
fn a_wrong_table_is_found_and_its_policy_made_small() -> Result<()> {
    host::a_wrong_table_is_found()
}

/// With MSEG_SEED for the first; with optimisation, as many as a minute has room for.
#[test]
#[ignore = "takes a minute, and says something only with optimisation"]
fn large_policies_are_compiled_or_refused_by_name() -> Result<()> {
    large::compiled_or_refused(Run::from_environment(0, 0)?.first(), Duration::from_secs(60))
}
