//! `msegctl policy diff`.

use std::path::Path;

use mseg::{
    error::Result,
    generation::{self, Changes},
    instance::{Access, Instance},
    policy,
};
use similar::TextDiff;

use crate::{
    output::{Report, Text, Tone},
    run::{Outcome, Run},
    stop::Stop,
};

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// A policy that is compared.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Side {
    /// The number of its generation; null if it is a file's.
    pub(crate) generation: Option<u32>,
    /// The file; null if it is that of a generation.
    pub(crate) file: Option<String>,
    /// In canonical form.
    #[serde(skip)]
    pub(crate) text: String,
}

impl Side {
    fn of_generation(instance: &Instance, generation: u32) -> Result<Self> {
        let text = generation::read(instance, generation)?.text;
        Ok(Self { generation: Some(generation), file: None, text })
    }

    fn of_file(file: &Path) -> Result<Self> {
        let text = policy::read_file(file)?.to_string();
        Ok(Self { generation: None, file: Some(file.display().to_string()), text })
    }

    fn name(&self) -> String {
        match (&self.file, self.generation) {
            (Some(file), _) => file.clone(),
            (None, generation) => format!("generation {}", generation.unwrap_or(0)),
        }
    }
}

/// What differs between two policies.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Difference {
    /// The policy that the changes are of.
    pub(crate) old: Side,
    /// The policy that they lead to.
    pub(crate) new: Side,
    /// Whether both are the same.
    pub(crate) same: bool,
    /// What differs, by name.
    pub(crate) changes: Changes,
    /// The difference of their canonical texts in unified format; empty if there is none.
    pub(crate) text: String,
}

impl Difference {
    pub(crate) fn new(old: Side, new: Side) -> Self {
        let text = TextDiff::from_lines(&old.text, &new.text)
            .unified_diff()
            .context_radius(CONTEXT)
            .header(&old.name(), &new.name())
            .to_string();
        let changes = Changes::between(&old.text, &new.text);
        Self { same: old.text == new.text, old, new, changes, text }
    }
}

impl Report for Difference {
    const SCHEMA: &'static str = "mseg.policy-diff/1";

    fn describe(&self, text: &mut Text, _: bool) {
        for line in self.text.lines() {
            let tone = match line.as_bytes() {
                [b'-', b'-', b'-', b' ', ..] | [b'+', b'+', b'+', b' ', ..] | [b'@', ..] => Tone::Heading,
                [b'-', ..] => Tone::Bad,
                [b'+', ..] => Tone::Good,
                _ => Tone::Plain,
            };
            text.toned_line(line, tone);
        }
    }
}

pub(super) fn run(run: &mut Run<'_>, policy: &Path, other: Option<u32>) -> Result<Outcome, Stop> {
    let number = policy.to_str().and_then(|text| text.parse::<u32>().ok());
    // A file first: an error in it is worth telling whether something is loaded or not.
    let file = if number.is_none() { Some(Side::of_file(policy)?) } else { None };
    let instance = run.open(Access::Read)?;
    let named = match (file, number) {
        (Some(side), _) => side,
        (None, number) => Side::of_generation(&instance, number.unwrap_or(0))?,
    };
    let (old, new) = match other {
        Some(other) => (named, Side::of_generation(&instance, other)?),
        None => (Side::of_generation(&instance, instance.config()?.generation)?, named),
    };
    let difference = Difference::new(old, new);
    run.output.report(&difference)?;
    Ok(Outcome::matched(difference.same))
}
