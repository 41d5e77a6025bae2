//! What a wrong command line says, and with which code it ends.

use std::ffi::OsString;

use crate::{cli::wants_json, run, run::Outcome};

/// Runs a command line that needs no instance: exit code, standard output, standard error.
pub(super) fn msegctl(line: &[&str]) -> (u8, String, String) {
    let args: Vec<OsString> = ["msegctl"].iter().chain(line).map(OsString::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = match run::run(&args, &mut out, false) {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::Nothing) => 1,
        Err(stop) => stop.report(&mut err, wants_json(&args)),
    };
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn a_wrong_command_line_is_code_2_with_a_hint_and_nothing_on_standard_output() {
    for line in [
        &["frobnicate"][..],
        &[],
        &["session"],
        &["session", "list", "--nope"],
        &["session", "list", "--dport", "http"],
        &["session", "list", "--not"],
        &["session", "list", "--limit", "0"],
        &["session", "get", "not-an-id"],
        &["session", "delete"],
        &["session", "delete", "--all", "--proto", "tcp"],
        &["mode", "set", "off"],
        &["rule", "add"],
        &["policy", "apply", "file", "--confirm", "0s"],
        &["policy", "apply", "file", "--confirm", "60"],
        &["policy", "rollback", "--confirm", "25h"],
        &["policy", "rollback", "web.policy"],
        &["mode", "set", "enforce", "--confirm", "soon"],
        &["status", "--plain", "-j"],
        &["status", "--instance", "../x"],
    ] {
        let (code, out, err) = msegctl(line);
        assert_eq!((code, out.as_str()), (2, ""), "{line:?}: {err}");
        assert!(err.starts_with("error: ") || line.contains(&"-j"), "{line:?}: {err}");
    }
}

#[test]
fn with_json_an_error_is_one_line_of_json() {
    for line in [&["-j", "frobnicate"][..], &["session", "list", "--nope", "-p"], &["-qj", "session"], &["--json"]] {
        let (code, _, err) = msegctl(line);
        assert_eq!(code, 2, "{line:?}");
        assert_eq!(err.lines().count(), 1, "{err}");
        let json: serde_json::Value = serde_json::from_str(&err).unwrap();
        assert_eq!(json["error"]["code"], "usage");
        assert!(json["error"]["message"].is_string() && json["error"]["hint"].is_string(), "{err}");
    }
}

#[test]
fn help_and_version_are_data() {
    let (code, out, err) = msegctl(&["session", "list", "--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("--not"));
    assert!(msegctl(&["--version"]).1.starts_with("msegctl "));
}

#[test]
fn nothing_loaded_is_code_3() {
    let dir = tempfile::tempdir().unwrap();
    let bpffs = dir.path().to_str().unwrap();
    for line in [&["status"][..], &["session", "list"], &["rule", "list"], &["mode", "set", "observe"]] {
        let (code, out, err) = msegctl(&[line, &["--bpffs", bpffs]].concat());
        assert_eq!((code, out.as_str()), (3, ""), "{line:?}: {err}");
    }
}

#[test]
fn doctor_works_when_nothing_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (_, out, err) = msegctl(&["doctor", "-j", "--bpffs", dir.path().to_str().unwrap()]);
    assert_eq!(err, "");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let names: Vec<_> = json["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kernel", "btf", "jit", "rights", "bpffs", "loaded"]);
}

#[test]
fn a_policy_is_checked_without_root_or_an_instance() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy");
    let path = file.to_str().unwrap();
    std::fs::write(&file, super::fixture::POLICY).unwrap();
    assert_eq!(msegctl(&["policy", "check", path]).0, 0);
    std::fs::write(&file, "default in deny\nrule web alow in tcp\n").unwrap();
    let (code, out, err) = msegctl(&["policy", "check", path]);
    assert_eq!((code, out.as_str()), (5, ""));
    assert!(err.contains("policy:2:10") && err.contains("^^^^") && err.contains("expected"), "{err}");
    let (code, _, err) = msegctl(&["policy", "check", "-j", path]);
    assert_eq!(code, 5);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&err).unwrap()["error"]["code"], "invalid-policy");
    assert_eq!(msegctl(&["policy", "check", "/nonexistent"]).0, 1);
}

#[test]
fn a_checked_policy_has_an_entry_for_each_combination() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy");
    let rules = (0..1_000).map(|n| format!("rule r{n} allow in tcp from 10.0.{}.{}\n", n >> 8, n & 255));
    std::fs::write(&file, rules.collect::<String>() + "builtin dhcp off\nbuiltin failsafe off\n").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(msegctl(&["policy", "check", path]).1, format!("{path}: valid, 1000 rules in 1000 entries\n"));
    let json: serde_json::Value = serde_json::from_str(&msegctl(&["policy", "check", "-j", path]).1).unwrap();
    assert_eq!(json["entries"], 1_000);
}

#[test]
fn completions_name_the_program() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = msegctl(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("msegctl"));
    }
}

#[test]
fn names_that_would_steer_the_terminal_are_escaped_in_errors() {
    let (_, _, err) = msegctl(&["policy", "check", "/no\x1b[2J"]);
    assert!(!err.contains('\x1b'), "{err:?}");
}
