//! The three real programs: built once for a test run, from the same sources and profile as the test itself.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// Names a directory that holds the programs: nothing is built then.
pub const DIRECTORY: &str = "MSEG_PROGRAMS";

const NAMES: [&str; 3] = ["mseg-loader", "msegd", "msegctl"];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    paths: [PathBuf; 3],
}

impl Programs {
    /// Builds them with the cargo that runs this test or demo; without one, takes those of [`DIRECTORY`], or those
    /// that lie beside this executable.
    ///
    /// # Errors
    /// When they cannot be built, or are not there.
    pub fn get() -> Result<&'static Self> {
        static FOUND: OnceLock<Result<Programs, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| Self::find().map_err(|error| format!("{error:#}")));
        found.as_ref().map_err(|error| anyhow!("{error}"))
    }

    fn find() -> Result<Self> {
        let executable = env::current_exe().context("cannot find this executable")?;
        let profile = profile_directory(&executable)?;
        if let Some(directory) = env::var_os(DIRECTORY) {
            return Self::within(Path::new(&directory));
        }
        match env::var_os("CARGO") {
            Some(cargo) => build(Path::new(&cargo), &profile),
            None => Self::within(&profile),
        }
    }

    fn within(directory: &Path) -> Result<Self> {
        let paths = NAMES.map(|name| directory.join(name));
        match paths.iter().find(|path| !path.is_file()) {
            Some(missing) => bail!("{} is missing; run this by cargo, which builds it", missing.display()),
            None => Ok(Self { paths }),
        }
    }

    /// All three.
    pub fn all(&self) -> &[PathBuf] {
        &self.paths
    }
}

/// `target/debug` of `target/debug/deps/test-0123` and of `target/debug/demo`.
fn profile_directory(executable: &Path) -> Result<PathBuf> {
    let directory = executable.parent().context("this executable has no directory")?;
    let is_test = directory.ends_with("deps");
    let profile = if is_test { directory.parent() } else { Some(directory) };
    Ok(profile.context("this executable is not in a target directory")?.to_owned())
}

fn build(cargo: &Path, profile_directory: &Path) -> Result<Programs> {
    let profile = profile_directory.file_name().and_then(|name| name.to_str()).context("an odd target directory")?;
    let target = profile_directory.parent().context("an odd target directory")?;
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--locked", "--message-format=json-render-diagnostics"])
        .args(["--profile", if profile == "debug" { "dev" } else { profile }])
        .arg("--target-dir")
        .arg(target)
        .args(["-p", "mseg-loader", "-p", "msegd", "-p", "msegctl"])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", cargo.display()))?;
    if !output.status.success() {
        bail!("the programs do not build");
    }
    let mut paths = NAMES.map(PathBuf::from);
    for (name, path) in NAMES.iter().zip(&mut paths) {
        *path = executable(&output.stdout, name).with_context(|| format!("cargo built no {name}"))?;
    }
    Ok(Programs { paths })
}

/// What cargo says it built, one JSON message a line.
fn executable(messages: &[u8], name: &str) -> Option<PathBuf> {
    let messages = messages.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut built = messages.filter(|message| message["target"]["name"] == name);
    built.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}
