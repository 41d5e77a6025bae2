//! What was measured, as a table and as a document.

use serde_json::{Map, Value, json};

use crate::measure::Times;

/// Where a row should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) target: f64,
    pub(crate) stretch: f64,
    /// Whether more is better.
    pub(crate) more: bool,
}

impl Goal {
    pub(crate) const fn at_most(target: f64, stretch: f64) -> Self {
        Self { target, stretch, more: false }
    }

    pub(crate) const fn at_least(target: f64, stretch: f64) -> Self {
        Self { target, stretch, more: true }
    }

    pub(crate) fn reached(&self, value: f64) -> &'static str {
        let meets = |bound: f64| if self.more { value >= bound } else { value <= bound };
        match (meets(self.stretch), meets(self.target)) {
            (true, _) => "stretch",
            (_, true) => "target",
            _ => "missed",
        }
    }
}

/// Everything, printed as it comes.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Value>,
}

impl Report {
    /// A row with a value to be judged, or only to be known; `details` is an object.
    pub(crate) fn row(
        &mut self,
        id: &str,
        what: &str,
        value: f64,
        unit: &str,
        goal: Option<Goal>,
        details: &[(&str, Value)],
    ) {
        let details: Vec<(&str, Value)> = details.iter().map(|(name, value)| (*name, tidy(value))).collect();
        let judged = goal.map(|goal| {
            let bound = if goal.more { ">=" } else { "<=" };
            format!("{} (target {bound} {}, stretch {})", goal.reached(value), goal.target, goal.stretch)
        });
        let shown: Vec<String> = details.iter().map(|(name, value)| format!("{name} {}", short(value))).collect();
        let line = format!("{id:<4} {what:<44} {value:>9.2} {unit:<4} {}", judged.unwrap_or_default());
        println!("{}", line.trim_end());
        if !shown.is_empty() {
            println!("     {}", shown.join(", "));
        }
        self.note(id, what, value, unit, goal, &details);
    }

    /// A row that is only in the document, since a table of its own shows it.
    pub(crate) fn note(
        &mut self,
        id: &str,
        what: &str,
        value: f64,
        unit: &str,
        goal: Option<Goal>,
        details: &[(&str, Value)],
    ) {
        let mut row = json!({"id": id, "what": what, "value": rounded(value), "unit": unit});
        if let Some(goal) = goal {
            row["target"] = goal.target.into();
            row["stretch"] = goal.stretch.into();
            row["more_is_better"] = goal.more.into();
            row["reached"] = goal.reached(value).into();
        }
        row["details"] =
            details.iter().map(|(name, value)| ((*name).to_owned(), tidy(value))).collect::<Map<_, _>>().into();
        self.rows.push(row);
    }

    /// The document.
    pub(crate) fn document(&self, quick: bool, rounds: usize) -> Value {
        let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
        json!({"schema": "mseg.bench/1", "kernel": kernel.unwrap_or_default(), "quick": quick, "rounds": rounds, "rows": self.rows})
    }
}

/// Minimum and median: nanoseconds.
pub(crate) fn times(times: &Times) -> Value {
    json!({"minimum_ns": rounded(times.minimum()), "median_ns": rounded(times.median())})
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn tidy(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() => rounded(number).into(),
        _ => value.clone(),
    }
}

fn short(value: &Value) -> String {
    match (value.get("minimum_ns"), value.get("median_ns")) {
        (Some(minimum), Some(median)) => format!("{minimum} ns (median {median})"),
        _ => value.to_string(),
    }
}
