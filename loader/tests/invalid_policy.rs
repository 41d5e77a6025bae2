//! A policy that is wrong is told before anything is touched, to programs by its places.

use std::{fs, process::Command};

#[test]
fn mseg_loader_names_the_places_of_an_invalid_policy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    for (text, place) in
        [("include \"x\"\ndefault in deny\nrul\n", (1, 9)), ("{\"defaults\":\n {\"in\": \"dney\"}}", (2, 10))]
    {
        fs::write(&path, text).unwrap();
        let mut loader = Command::new(env!("CARGO_BIN_EXE_mseg-loader"));
        let output = loader.args(["attach", "no-interface", "-j", "--policy"]).arg(&path).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), &b""[..]));
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        let first = &error["error"]["diagnostics"][0];
        assert_eq!(first["file"], path.to_str().unwrap());
        assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(place.0), Some(place.1)), "{first}");
    }
}
