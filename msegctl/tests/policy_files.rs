//! The program on policy files, where it takes a process: standard input, a disk that is full, limits of memory.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Runs msegctl in a directory by a shell that first sets limits.
fn msegctl(directory: &Path, limits: &str, line: &str, input: &str) -> Output {
    let script = format!("{limits}\nexec \"$0\" {line}");
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &script, env!("CARGO_BIN_EXE_msegctl")]).current_dir(directory);
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that does not read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn in_standard_input_paths_are_relative_to_the_current_directory() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("sets"), "define s = 10.0.0.1\n").unwrap();
    let policy = "include \"sets\"\nrule a deny in tcp from s\n";
    let output = msegctl(directory.path(), "", "policy check -", policy);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = msegctl(directory.path(), "", "policy fmt -", policy);
    assert_eq!(text(&output.stdout), "include \"sets\"\nrule a deny in tcp from s to any\n");
    let output = msegctl(directory.path(), "", "policy check -", "include \"nope\"");
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains(" --> standard input:1:9\n"), "{}", text(&output.stderr));
}

/// Files cannot grow, as on a full disk.
#[test]
fn a_file_that_cannot_be_rewritten_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy");
    fs::write(&policy, "default  in deny\n").unwrap();
    let output = msegctl(directory.path(), "trap '' XFSZ; ulimit -f 0", "policy fmt -w policy", "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: cannot write policy: File too large"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&policy).unwrap(), "default  in deny\n");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// Half a gigabyte of address space, of which the program itself takes a part, and a minute.
#[test]
fn bad_input_takes_a_bounded_amount_of_memory_and_time() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("garbage", &"}\u{1b}{\"x\u{e9}\n= ,0".repeat(1 << 20));
    write("lines", &"x\n".repeat(5 << 20));
    write("json", &format!("{{\"rules\":[{}0]}}", "{\"x\":[],},".repeat(1 << 20)));
    write("ring", "include \"ring2\"\n");
    write("ring2", "include \"ring\"\ninclude \"ring2\"\n");
    write("zero", "include \"/dev/zero\"\ndefine a = file \"/dev/zero\"\n");
    let list: String = (0..1_000_000u32).map(|n| format!("{}\n", std::net::Ipv4Addr::from(n * 3))).collect();
    write("list", &list);
    write("million", "define many = file \"list\"\nrule a deny in tcp from many\n");
    let ports: String = (0..=65_535).map(|port| format!("rule p{port} allow in tcp to any port {port}\n")).collect();
    write("ports", &ports);
    for (file, command, code) in [
        ("garbage", "check", 5),
        ("garbage", "fmt", 5),
        ("lines", "check", 5),
        ("json", "check", 5),
        ("ring", "check", 5),
        ("zero", "check", 5),
        ("million", "fmt --json", 0),
        ("ports", "fmt", 0),
        ("ports", "fmt --json", 0),
        ("/dev/zero", "check", 5),
    ] {
        let start = Instant::now();
        let output = msegctl(directory.path(), "ulimit -v 524288", &format!("policy {command} {file}"), "");
        println!("{command} {file}: {:?}", start.elapsed());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command} {file}: {error}");
        assert!(error.len() < 1 << 20 && start.elapsed() < Duration::from_secs(60), "{command} {file}");
    }
}

#[test]
fn a_test_that_asserts_nothing_fails() {
    let directory = tempfile::tempdir().unwrap();
    for nothing in ["", "# expect deny in tcp\n\n"] {
        let output = msegctl(directory.path(), "", "policy test - --policy /dev/null", nothing);
        assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("holds no assertion: nothing was tested"), "{}", text(&output.stderr));
    }
    let one = "expect allow in 47 from ::1 to ::2";
    assert!(msegctl(directory.path(), "", "policy test - --policy /dev/null", one).status.success());
}

#[test]
fn text_and_json_tell_every_error_of_a_statement() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = "rule r1 alow in tpc from 10.0.0.0/33 to any port 99999 priorty 5\n";
    let shown = text(&msegctl(directory.path(), "", "policy check -", wrong).stderr);
    assert_eq!(shown.matches(" --> standard input:1:").count(), 5, "{shown}");
    let output = msegctl(directory.path(), "", "policy check - -j", wrong);
    assert_eq!(output.status.code(), Some(5));
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(told.matches("\"column\"").count(), 5, "{told}");
}
