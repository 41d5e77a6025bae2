//! What the machine must offer.

use std::{fs, path::Path};

use mseg::{
    attach::preflight,
    instance::{Options, is_mounted},
};

use super::Check;

const BTF: &str = "/sys/kernel/btf/vmlinux";
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

pub(super) fn checks(options: &Options) -> Vec<Check> {
    vec![kernel(), btf(Path::new(BTF)), jit(Path::new(JIT)), rights(), bpffs(options)]
}

fn kernel() -> Check {
    match preflight::kernel() {
        Ok(kernel) if kernel.tcx => Check::ok("kernel", format!("Linux {}, attaches by TCX", kernel.release)),
        Ok(kernel) => Check::ok("kernel", format!("Linux {}, attaches by clsact", kernel.release)),
        Err(error) => Check::error("kernel", error),
    }
}

fn btf(path: &Path) -> Check {
    if path.exists() {
        Check::ok("btf", "the kernel describes its types")
    } else {
        Check::warn(
            "btf",
            format!("{} is missing", path.display()),
            "a kernel with CONFIG_DEBUG_INFO_BTF lets bpftool print our maps by field name",
        )
    }
}

fn jit(path: &Path) -> Check {
    match fs::read_to_string(path) {
        Ok(value) if value.trim() == "0" => Check::warn(
            "jit",
            "the BPF compiler is off: programs are interpreted, which costs several times as much a packet",
            "sysctl net.core.bpf_jit_enable=1",
        ),
        Ok(_) => Check::ok("jit", "the BPF compiler is on"),
        // The file is in /proc of the initial network namespace alone.
        Err(_) => Check::ok("jit", "not to be seen from this network namespace"),
    }
}

fn rights() -> Check {
    match preflight::rights() {
        Ok(()) => Check::ok("rights", "root with the capabilities that attaching needs"),
        Err(error) => Check::warn(
            "rights",
            error.message,
            "enough to read where the pins may be opened; attaching and changing need root",
        ),
    }
}

fn bpffs(options: &Options) -> Check {
    let path = options.bpffs.display();
    match is_mounted(&options.bpffs) {
        Ok(true) => Check::ok("bpffs", format!("mounted on {path}")),
        Ok(false) => Check::warn(
            "bpffs",
            format!("{path} is not a BPF file system"),
            "mseg-loader mounts it; `ip netns exec` hides it: use nsenter --net=/run/netns/NAME there",
        ),
        Err(error) => Check::error("bpffs", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn a_jit_that_is_off_is_worth_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bpf_jit_enable");
        for (value, grade) in [("0\n", Grade::Warn), ("1\n", Grade::Ok), ("2\n", Grade::Ok)] {
            fs::write(&file, value).unwrap();
            assert_eq!(jit(&file).status, grade, "{value}");
        }
        assert_eq!(jit(&dir.path().join("none")).status, Grade::Ok);
    }
}
