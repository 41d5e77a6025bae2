//! `policy fmt`: what it writes and where, and that a file is rewritten as a whole or not at all.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use super::errors::msegctl;

const LOOSE: &str = "# head\n\n\ndefault  in deny#x\ninclude \"other\"\nrule a allow in 6";
const NEAT: &str = "# head\n\ndefault in deny  #x\ninclude \"other\"\nrule a allow in tcp\n";

/// A directory with a policy in it.
fn policy(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy").to_str().unwrap().to_owned();
    fs::write(&path, text).unwrap();
    (directory, path)
}

#[test]
fn formatted_text_goes_to_standard_output_and_the_file_stays() {
    let (_directory, path) = policy(LOOSE);
    // `other` does not exist: it is not read.
    assert_eq!(msegctl(&["policy", "fmt", &path]), (0, NEAT.to_owned(), String::new()));
    assert_eq!(fs::read_to_string(&path).unwrap(), LOOSE);
    let (code, out, err) = msegctl(&["policy", "fmt", "--check", &path]);
    assert_eq!((code, out, err), (1, format!("{path}: not formatted\n"), String::new()));
    assert_eq!(msegctl(&["policy", "fmt", "--check", "-q", &path]), (1, String::new(), String::new()));
    fs::write(&path, NEAT).unwrap();
    assert_eq!(msegctl(&["policy", "fmt", "--check", &path]), (0, String::new(), String::new()));
}

#[test]
fn a_file_is_rewritten_under_its_name_with_its_mode_and_only_if_it_changes() {
    let (directory, path) = policy(LOOSE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.path().join("link");
    symlink("policy", &link).unwrap();
    let before = fs::metadata(&path).unwrap();
    assert_eq!(msegctl(&["policy", "fmt", "-w", link.to_str().unwrap()]).0, 0);
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), NEAT);
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(msegctl(&["policy", "fmt", "--write", &path]), (0, String::new(), String::new()));
    assert_eq!(fs::metadata(&path).unwrap().ino(), after.ino());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn a_file_that_is_wrong_is_not_rewritten() {
    let (_directory, path) = policy("default  in deny\nrule a\n");
    for option in ["-w", "--check"] {
        let (code, out, err) = msegctl(&["policy", "fmt", option, &path]);
        assert_eq!((code, out.as_str()), (5, ""));
        assert!(err.contains(":2:7"), "{err}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "default  in deny\nrule a\n");
    assert_eq!(msegctl(&["policy", "fmt", "-w", "/dev/null"]).0, 0);
    assert_eq!(msegctl(&["policy", "fmt", "-w", "/nonexistent"]).0, 1);
}

#[test]
fn text_becomes_json_and_json_becomes_text() {
    let (directory, path) = policy(LOOSE);
    fs::write(directory.path().join("other"), "define s = file \"list\"\n").unwrap();
    fs::write(directory.path().join("list"), "10.0.0.0/8\n").unwrap();
    let json = directory.path().join("json").to_str().unwrap().to_owned();
    let (code, out, _) = msegctl(&["policy", "fmt", "--json", &path]);
    assert_eq!(code, 0);
    fs::write(&json, &out).unwrap();
    let text = "default in deny\ndefault out allow\ndefine s = { 10.0.0.0/8 }\nrule a allow in tcp\n";
    assert_eq!(msegctl(&["policy", "fmt", &json]).1, text);
    assert_eq!(msegctl(&["policy", "check", &json]).0, 0);
    assert_eq!(msegctl(&["policy", "fmt", "-j", &json]).1, out);
    assert_eq!(msegctl(&["policy", "fmt", "-j", "--check", &json]).0, 0);
    assert_eq!(msegctl(&["policy", "fmt", "-p", "--check", &json]), (1, String::new(), String::new()));
    assert_eq!(msegctl(&["policy", "fmt", "-p", "-w", &json]).0, 0);
    assert!(fs::read_to_string(&json).unwrap().starts_with("{\n  \"schema\": \"mseg.policy-fmt/1\",\n"));
}

#[test]
fn a_file_never_becomes_another_form_in_place() {
    let (_directory, path) = policy(LOOSE);
    let (_other, json) = policy("{}");
    for line in [
        &["policy", "fmt", "-j", "-w", &path][..],
        &["policy", "fmt", "-j", "--check", &path],
        &["policy", "fmt", "-w", &json],
        &["policy", "fmt", "--check", &json],
        &["policy", "fmt", "-w", "-"],
        &["policy", "fmt", "-w", "--check", &path],
    ] {
        let (code, out, err) = msegctl(line);
        assert_eq!((code, out.as_str()), (2, ""), "{line:?}: {err}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), LOOSE);
    assert_eq!(fs::read_to_string(&json).unwrap(), "{}");
}

#[test]
fn with_json_an_invalid_policy_names_each_place_in_its_file() {
    let (directory, path) = policy("include \"other\"\nrule a alow in tcp\n");
    let other = directory.path().join("other");
    fs::write(&other, "\n  defautl in deny\n").unwrap();
    let (code, out, err) = msegctl(&["-j", "policy", "check", &path]);
    assert_eq!((code, out.as_str(), err.lines().count()), (5, "", 1));
    let error: serde_json::Value = serde_json::from_str(&err).unwrap();
    let diagnostics = error["error"]["diagnostics"].as_array().unwrap();
    let places: Vec<_> =
        diagnostics.iter().map(|d| (d["file"].as_str().unwrap(), d["line"].as_u64(), d["column"].as_u64())).collect();
    assert_eq!(places, [(path.as_str(), Some(2), Some(8)), (other.to_str().unwrap(), Some(2), Some(3))]);
    assert_eq!(diagnostics[1]["help"], "did you mean `default`?");
    assert_eq!(diagnostics[1]["notes"], serde_json::json!([format!("included from {path}:1")]));
    let usage: serde_json::Value = serde_json::from_str(&msegctl(&["-j", "nope"]).2).unwrap();
    assert_eq!(usage["error"]["diagnostics"], serde_json::json!([]));
}
