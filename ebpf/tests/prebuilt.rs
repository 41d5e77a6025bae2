//! The committed objects are the ones that the sources build: checked without the BPF toolchain, by the records that
//! ebpf/build.sh writes. Where the toolchain is there, `ebpf/build.sh --check` builds them and compares every byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

const REBUILD: &str = "run ebpf/build.sh and commit ebpf/prebuilt/";

/// The objects in ebpf/prebuilt/, and the folders that each is built from.
const OBJECTS: [(&str, &[&str]); 2] = [("mseg", &["ebpf/src"]), ("floor", &["ebpf/src", "ebpf/floor"])];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn hash(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lines `"key" = "value"` or `key = "value"` of one section of the record; the first section has no name.
fn section(record: &str, name: &str) -> BTreeMap<String, String> {
    let mut current = "";
    let mut entries = BTreeMap::new();
    for line in record.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[') {
            current = header.trim_end_matches(']');
        } else if current == name {
            let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("a strange line: {line}"));
            entries.insert(key.trim_matches('"').to_owned(), value.trim_matches('"').to_owned());
        }
    }
    entries
}

/// The release profile of the workspace's manifest, hashed as build.sh does: each section to the next empty line.
fn profile() -> String {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let mut inside = false;
    let mut hash = Sha256::new();
    for line in manifest.lines() {
        inside |= line.starts_with("[profile.release");
        if inside {
            hash.update(line);
            hash.update("\n");
        }
        inside &= !line.is_empty();
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record(object: &str) -> String {
    fs::read_to_string(root().join(format!("ebpf/prebuilt/{object}.toml"))).expect("the record of the build")
}

fn sources(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("below the workspace").display().to_string();
            found.insert(name, hash(&path));
        }
    }
}

#[test]
fn each_object_was_built_from_these_sources() {
    for (object, folders) in OBJECTS {
        let mut now = BTreeMap::new();
        for folder in folders {
            sources(&root().join(folder), &mut now);
        }
        for file in ["ebpf/Cargo.toml", "ebpf/build.sh"] {
            now.insert(file.to_owned(), hash(&root().join(file)));
        }
        now.insert("profile".to_owned(), profile());
        let recorded = section(&record(object), "sources");
        let differ: BTreeSet<_> =
            now.keys().chain(recorded.keys()).filter(|file| now.get(*file) != recorded.get(*file)).collect();
        assert!(differ.is_empty(), "changed since {object}.o was built: {differ:?}; {REBUILD}");
    }
}

#[test]
fn each_object_was_built_with_the_locked_dependencies() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let locked: Vec<(&str, &str)> = lock
        .split("[[package]]")
        .filter_map(|package| {
            let field =
                |name| package.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_matches('"'));
            Some((field("name = ")?, field("version = ")?))
        })
        .collect();
    for (object, _) in OBJECTS {
        let recorded = section(&record(object), "dependencies");
        assert!(recorded.contains_key("aya-ebpf"), "{recorded:?}");
        for (name, version) in recorded {
            assert!(locked.contains(&(name.as_str(), version.as_str())), "{name} is not {version} any more; {REBUILD}");
        }
    }
}

#[test]
fn each_object_is_the_recorded_one() {
    for (object, _) in OBJECTS {
        let file = root().join(format!("ebpf/prebuilt/{object}.o"));
        assert_eq!(section(&record(object), "").get("object"), Some(&hash(&file)), "{object}.o: {REBUILD}");
    }
}

/// LLVM emits forward declarations in the order of its own addresses, so with two of them builds differ by chance.
#[test]
fn no_objects_btf_has_a_forward_declaration() {
    for (object, _) in OBJECTS {
        check_btf(&fs::read(root().join(format!("ebpf/prebuilt/{object}.o"))).expect("the object"));
    }
}

fn check_btf(object: &[u8]) {
    const KIND_FWD: u32 = 7;
    // `struct btf_header` (include/uapi/linux/btf.h): magic, version 1, no flags, 24 bytes long.
    let header = object.windows(8).position(|bytes| bytes == [0x9f, 0xeb, 1, 0, 24, 0, 0, 0]).expect("a BTF section");
    let word = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().expect("four bytes"));
    let mut at = header + 24 + word(header + 8) as usize;
    let end = at + word(header + 12) as usize;
    let mut types = 0;
    while at < end {
        let (kind, count) = (word(at + 4) >> 24 & 0x1f, (word(at + 4) & 0xffff) as usize);
        assert_ne!(kind, KIND_FWD, "type {} is a forward declaration: see ebpf/src/program/skb.rs", types + 1);
        // What follows `struct btf_type`, by kind.
        at += 12
            + match kind {
                1 | 14 | 17 => 4,         // integer, variable, declaration tag
                3 => 12,                  // array
                4 | 5 | 19 => 12 * count, // struct, union, 64-bit enum
                6 | 13 => 8 * count,      // enum, prototype
                15 => 12 * count,         // section
                _ => 0,
            };
        types += 1;
    }
    assert_eq!(at, end);
    assert!(types > 20, "{types}");
}
