//! Which way of attaching is taken on which kernel. `tests/kernels.sh` runs this on a kernel without TCX and on one with it.

use anyhow::{Result, ensure};
use mseg_tests::{
    hook::{Attached, Hook},
    lab::{Lab, PROTECTED, SERVER_V4},
    privilege, require_root,
    traffic::icmp::Pinger,
};

#[test]
fn newest_hook_of_the_kernel_is_taken_when_none_is_named() -> Result<()> {
    require_root!();
    let hook = if privilege::kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact };
    Lab::test(hook, |lab| {
        lab.run("mseg-loader", &["attach", PROTECTED])?.ok()?;
        lab.is_attached()?;
        let is_clsact = lab.attached()? == Attached { qdiscs: vec!["clsact".to_owned()], ..lab.attached()? };
        ensure!(is_clsact == (hook == Hook::Clsact), "{:?}", lab.attached()?);
        Pinger::new(&lab.client, SERVER_V4)?.ping(8)
    })
}

#[test]
fn tcx_on_a_kernel_without_it_is_refused_and_leaves_nothing() -> Result<()> {
    require_root!();
    if privilege::kernel_has_tcx() {
        privilege::not_applicable("this kernel has TCX");
        return Ok(());
    }
    Lab::test(Hook::Clsact, |lab| {
        let ran = lab.run("mseg-loader", &["attach", PROTECTED, "--hook", "tcx"])?.exits(1)?;
        ran.complains(&["no TCX", "6.6", "--hook clsact"])?;
        lab.is_clean()
    })
}
