//! `include` and `file`: what they read, what they refuse, and what they say of it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    error::{Code, Error},
    policy::{Diagnostic, MAX_BYTES, MAX_DEPTH, MAX_FILES, Policy, parse, read_file},
};

/// A directory of files, the first of which is the policy.
struct Files {
    directory: tempfile::TempDir,
    first: PathBuf,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Self { first: directory.path().join(files[0].0), directory };
        for (name, text) in files {
            fs::create_dir_all(made.path(name).parent().unwrap()).unwrap();
            fs::write(made.path(name), text).unwrap();
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self) -> Result<Policy, Error> {
        read_file(&self.first)
    }

    /// Every error as `FILE:LINE:COLUMN MESSAGE; EXPECTED`, then the notes, with the directory left out.
    fn errors(&self) -> Vec<String> {
        let error = self.read().unwrap_err();
        assert_eq!(error.code, Code::InvalidPolicy, "{error}");
        let told = |error: Diagnostic| {
            let Diagnostic { file, line, column, message, expected, notes, .. } = error;
            let text = format!("{file}:{line}:{column} {message}; {expected}; {}", notes.join(", "));
            text.replace(&format!("{}/", self.directory.path().display()), "")
        };
        error.diagnostics.into_iter().map(told).collect()
    }

    /// The only error.
    fn error(&self) -> String {
        let errors = self.errors();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors[0].clone()
    }
}

fn text(path: &Path) -> String {
    read_file(path).unwrap().to_string()
}

#[test]
fn includes_and_files_of_sets_become_part_of_the_policy() {
    let files = Files::new(&[
        (
            "main",
            "include \"common/base\"\nrule a allow in tcp from office\ndefine all = { office, file \"list\", ::1 }",
        ),
        ("common/base", "default in deny\ninclude \"sets\" # relative to this file\nrule b deny in udp"),
        ("common/sets", "define office = file \"office list\"\n"),
        ("common/office list", "# our networks\n\n10.1.0.0/16   # the house\r\n2001:db8:1::/48\n\t10.2.0.1/32"),
        ("list", "\u{feff}192.0.2.1"),
    ]);
    let canonical = "default in deny\ndefault out allow\n\
        define office = { 10.1.0.0/16, 2001:db8:1::/48, 10.2.0.1 }\ndefine all = { office, 192.0.2.1, ::1 }\n\
        rule b deny in udp\nrule a allow in tcp from office to any\n";
    assert_eq!(text(&files.first), canonical);
    // It names no file, so it can be read anywhere.
    assert_eq!(parse("canonical", canonical).unwrap(), files.read().unwrap());
    // A file is what it is however it is reached.
    symlink("main", files.path("link")).unwrap();
    fs::write(files.path("absolute"), format!("include \"{}\"", files.path("link").display())).unwrap();
    assert_eq!(text(&files.path("absolute")), canonical);
}

#[test]
fn a_file_that_is_included_twice_is_read_once() {
    let files = Files::new(&[
        ("main", "include \"a\"\ninclude \"b\"\ninclude \"./a\"\ninclude \"link\"\n"),
        ("a", "include \"shared\"\nrule a deny in tcp from s"),
        ("b", "include \"shared\"\nrule b deny in tcp from s"),
        ("shared", "define s = 10.0.0.1\n"),
    ]);
    symlink("b", files.path("link")).unwrap();
    let names: Vec<_> = files.read().unwrap().rules.into_iter().map(|rule| rule.name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_file_that_includes_itself_is_refused_with_the_chain() {
    let files = Files::new(&[("main", "include \"main\"")]);
    assert_eq!(files.error(), "main:1:9 `main` includes itself; is the file that includes it; ");
    let files = Files::new(&[("main", "\ninclude \"d/a\""), ("d/a", "include \"b\""), ("d/b", "include \"../link\"")]);
    symlink("main", files.path("link")).unwrap();
    let error = files.error();
    assert!(error.starts_with("d/b:1:9 `../link` includes itself; is `"), "{error}");
    assert!(error.ends_with("main`, which leads here; included from d/a:1, included from main:2"), "{error}");
    let shown = files.read().unwrap_err().message;
    assert!(shown.contains("= note: included from ") && shown.contains("/d/a:1\n"), "{shown}");
}

#[test]
fn what_comes_twice_in_two_files_is_named_in_both() {
    let files = Files::new(&[
        ("main", "rule a deny in tcp\ninclude \"b\"\ndefine s = 10.0.0.1\ndefault in deny\ntimeout icmp 1s"),
        (
            "b",
            "\n rule a deny in udp\ndefine s = 10.0.0.2\ndefault in allow\ntimeout icmp 1s\nbuiltin nd on\ninclude \"c\"",
        ),
        ("c", "builtin nd off"),
    ]);
    let errors = files.errors();
    for (error, (place, message, first)) in errors.iter().zip([
        ("main:3:8", "a second set `s`", "b:3; "),
        ("main:4:9", "a second default `in`", "b:4; "),
        ("main:5:9", "a second timeout `icmp`", "b:5; "),
        ("b:2:7", "a second rule `a`", "main:1; included from main:2"),
        ("c:1:9", "a second builtin `nd`", "b:6; included from b:7, included from main:2"),
    ]) {
        let expected = format!("{place} {message}; is there already, in {first}");
        assert_eq!(*error, expected, "{errors:#?}");
    }
    assert_eq!(errors.len(), 5);
}

#[test]
fn every_error_of_every_file_is_reported_in_its_file() {
    let files = Files::new(&[
        ("main", "rul x\ninclude \"a\"\nrule r deny in tcp from s,t,nowhere\ninclude \"missing\"\n"),
        ("a", "define s = file \"list\"\ndefine t = 10.0.0.1/8\nrule q deny in tcp from 10.0.0.1 to ::1"),
        ("list", "10.0.0.1\n10.0.0.1/8\noffice\n10.0.0.1, 10.0.0.2\nfile \"x\"\n10.0.0.0/8 x"),
    ]);
    let errors = files.errors();
    let places: Vec<_> = errors.iter().map(|error| error.split_once(' ').unwrap().0).collect();
    // Not `nowhere`: the missing file may define it.
    let expected = [
        "main:1:1",
        "main:4:9",
        "a:2:12",
        "a:3:37",
        "list:2:1",
        "list:3:1",
        "list:4:9",
        "list:5:1",
        "list:5:6",
        "list:6:12",
    ];
    assert_eq!(places, expected, "{errors:#?}");
    assert!(errors[5].contains("one address or CIDR a line; included from a:1, included from main:2"), "{errors:#?}");
}

#[test]
fn what_is_no_file_that_can_be_read_is_refused_where_it_is_named() {
    let files = Files::new(&[("main", ""), ("d/x", ""), ("empty", "# nothing\n"), ("json", " {}")]);
    nix::unistd::mkfifo(&files.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(files.path("socket")).unwrap();
    fs::write(files.path("binary"), b"define x = 10.0.0.1\n\xff").unwrap();
    fs::write(files.path("latin1"), b"10.0.0.1 # caf\xe9\n").unwrap();
    let long = "x".repeat(300);
    for (statement, expected) in [
        ("include \"nope\"", "main:1:9 cannot read `nope`: No such file or directory (os error 2)"),
        ("include \"\"", "main:1:9 the path is empty"),
        ("include \"d\"", "main:1:9 cannot read `d`: it is a directory; expected a regular file"),
        ("include \"pipe\"", "main:1:9 cannot read `pipe`: it is a pipe"),
        ("include \"socket\"", "main:1:9 cannot read `socket`: it is a socket"),
        ("include \"/dev/zero\"", "main:1:9 cannot read `/dev/zero`: it is a device"),
        ("include \"d/x/y\"", "main:1:9 cannot read `d/x/y`: Not a directory"),
        (&format!("include \"{long}\""), "main:1:9 cannot read `xxxxxxxxx"),
        ("include \"json\"", "main:1:9 `json` is a policy in JSON form; only text can be included"),
        ("include \"binary\"", "binary:2:1 the text is not UTF-8; cannot be read; included from main:1"),
        ("define a = file \"nope\"", "main:1:17 cannot read `nope`"),
        ("define a = file \"pipe\"", "main:1:17 cannot read `pipe`: it is a pipe"),
        ("define a = { ::1, file \"/dev/zero\" }", "main:1:24 cannot read `/dev/zero`: it is a device"),
        ("define a = file \"empty\"", "main:1:17 `empty` holds no address; a set has at least one member"),
        ("define a = file \"latin1\"", "latin1:1:15 the text is not UTF-8"),
    ] {
        fs::write(&files.first, format!("{statement}\nrule r deny in tcp from a\n")).unwrap();
        if statement.starts_with("include") {
            fs::write(&files.first, statement).unwrap();
        }
        let error = files.error();
        assert!(error.starts_with(expected), "{statement}: {error}");
    }
    // Root may read everything.
    if !nix::unistd::geteuid().is_root() {
        fs::set_permissions(files.path("empty"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::write(&files.first, "include \"empty\"").unwrap();
        assert!(files.error().starts_with("main:1:9 cannot read `empty`: Permission denied"));
    }
}

#[test]
fn there_is_a_limit_to_depth_number_and_size_of_files() {
    let names: Vec<(String, String)> =
        (1..=MAX_DEPTH + 1).map(|depth| (format!("f{depth}"), format!("include \"f{}\"\n", depth + 1))).collect();
    let mut chain: Vec<(&str, &str)> = names.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    chain[MAX_DEPTH - 1].1 = "rule deepest deny in tcp";
    assert_eq!(Files::new(&chain).read().unwrap().rules.len(), 1);
    chain[MAX_DEPTH - 1].1 = &names[MAX_DEPTH - 1].1;
    let error = Files::new(&chain).error();
    assert!(error.starts_with(&format!("f{MAX_DEPTH}:1:9 files include files more than {MAX_DEPTH} deep")), "{error}");

    let sets: String = (1..=MAX_FILES).map(|n| format!("define s{n} = file \"list\"\n")).collect();
    let files = Files::new(&[("main", &sets), ("list", "10.0.0.1")]);
    let error = files.error();
    assert!(error.contains(&format!("{MAX_FILES}:")) && error.contains("more than 1024 files"), "{error}");

    let half = vec![b'#'; MAX_BYTES as usize / 2];
    let files = Files::new(&[("main", "include \"a\"\ninclude \"b\"")]);
    fs::write(files.path("a"), &half).unwrap();
    fs::write(files.path("b"), &half).unwrap();
    let error = files.error();
    assert!(error.starts_with("main:2:9 the policy has more than 64 MiB with `b`; is too large"), "{error}");
    let whole = fs::File::create(files.path("whole")).unwrap();
    whole.set_len(MAX_BYTES + 1).unwrap();
    assert_eq!(read_file(&files.path("whole")).unwrap_err().code, Code::InvalidPolicy);
}

#[test]
fn the_policy_file_itself_is_an_error_like_any_file() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("nope")] {
        let error = read_file(&path).unwrap_err();
        assert_eq!(error.code, Code::Failed);
        assert!(error.message.contains("cannot read") && error.diagnostics.is_empty(), "{error}");
    }
}

/// 1M addresses, 25 MB: some two seconds without optimisation on an idle machine, and a tenth of that with.
#[test]
fn a_set_of_a_million_addresses_is_read_from_a_file() {
    let list: String = (0..1_000_000u128)
        .map(|n| match n % 4 {
            0 => format!("{}\n", std::net::Ipv6Addr::from((0x2001_0db8 << 96) | n)),
            _ => format!("{}\n", std::net::Ipv4Addr::from(0x0a00_0000 + n as u32)),
        })
        .collect();
    let files = Files::new(&[("main", "define many = file \"list\"\nrule r deny in tcp from many"), ("list", &list)]);
    let start = Instant::now();
    let policy = files.read().unwrap();
    println!("read in {:?}", start.elapsed());
    assert_eq!(policy.defines[0].members.len(), 1_000_000);
    policy.check().unwrap();
    println!("read, printed and parsed in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(60));
}
