//! Tests of what leaves the program, on a fixed set of documents.

mod document;
mod errors;
mod fixture;
mod formatting;
mod golden;
mod manual;
mod schemas;
mod stream;

use std::{env, fs, path::Path};

/// Compares with a committed file; with `UPDATE_GOLDEN=1` writes it instead.
fn expect_file(path: &Path, actual: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is not what is made now (UPDATE_GOLDEN=1 cargo test -p msegctl writes it):\n{actual}",
        path.display()
    );
}

/// A path in this crate.
fn in_crate(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
