//! The JSON form of a policy: what the model serialises to, read back. Each value becomes the part of a statement that
//! it stands for, so that text and JSON are checked by the same code, and errors have their places in either.

mod reader;
mod selector;
mod value;

use mseg_ebpf::abi::{policy::timeout, time::MAX_TIMEOUT_S};

use self::{
    reader::Reader,
    selector::{SELECTOR, selector},
    value::{Fields, Value},
};
use super::{
    document::{At, Document},
    model::{Action, Builtins, DEFAULT_PRIORITY, Rule, Timeouts},
    problem::Problems,
    statement::{ACTIONS, Statement},
    value::Member,
};

/// The schema of the JSON form.
pub const SCHEMA: &str = "mseg.policy-fmt/1";
/// The schema of what shows a policy with its JSON form.
pub const SHOWN_SCHEMA: &str = "mseg.policy/1";

/// Keys of a policy. What `policy fmt` writes has a schema's name besides.
const POLICY: &[&str] = &["schema", "defaults", "builtins", "failsafe", "timeouts", "defines", "rules"];
/// Keys of what `policy show` writes: a policy, and what else it tells of it.
const SHOWN: &[&str] = &["schema", "generation", "applied", "text", "policy"];
const RULE: &[&str] =
    &["name", "action", "direction", "protocol", "from", "to", "icmp", "iface", "priority", "log", "audit"];

/// Adds what the text says to the document.
pub(super) fn read(text: &str, document: &mut Document<'_>, problems: &mut Problems) {
    let mut reader = Reader::new(text, problems);
    if let Some(fields) = whole(&mut reader) {
        Adder { document, reader }.policy(&fields);
    }
}

/// The keys of the policy, by itself or within a document that shows it.
fn whole<'a>(reader: &mut Reader<'a, '_>) -> Option<Fields<'a>> {
    let whole = reader.whole()?;
    if !reader.has_key(whole, "policy") {
        let fields = reader.object(whole, "a policy", POLICY)?;
        return schema(&fields, SCHEMA, reader).then_some(fields);
    }
    let fields = reader.object(whole, "a document with a policy", SHOWN)?;
    let policy = fields.get("policy").filter(|_| schema(&fields, SHOWN_SCHEMA, reader))?;
    reader.object(policy, "a policy", &POLICY[1..])
}

/// Whether the schema is this one, if there is one.
fn schema(fields: &Fields<'_>, name: &str, reader: &mut Reader<'_, '_>) -> bool {
    fields.get("schema").is_none_or(|value| reader.choice(value, "a schema", &[(name, ())]).is_some())
}

/// Makes statements of values, and adds them to the document.
struct Adder<'d, 's, 'a, 'p> {
    document: &'d mut Document<'s>,
    reader: Reader<'a, 'p>,
}

impl Adder<'_, '_, '_, '_> {
    fn add(&mut self, at: Value<'_>, name: &str, statement: Statement) {
        let before = self.reader.problems().len();
        self.add_since(before, at, name, statement);
    }

    /// Adds a statement that has errors if there are more than `before`.
    fn add_since(&mut self, before: usize, at: Value<'_>, name: &str, statement: Statement) {
        let at = At { file: 0, line: self.reader.line_of(at), name, subject: at.span() };
        match self.reader.problems().len() > before {
            true => self.document.add_failed(at, statement, self.reader.problems()),
            false => self.document.add(at, statement, self.reader.problems()),
        }
    }

    fn policy(&mut self, fields: &Fields<'_>) {
        if let Some(value) = fields.get("defaults") {
            self.defaults(value);
        }
        if let Some(value) = fields.get("builtins") {
            self.builtins(value);
        }
        if let Some(value) = fields.get("timeouts") {
            self.timeouts(value);
        }
        if let Some(value) = fields.get("failsafe") {
            self.failsafe(value);
        }
        if let Some(value) = fields.get("defines") {
            self.reader.array(value, "a list of sets").into_iter().for_each(|value| self.define(value));
        }
        if let Some(value) = fields.get("rules") {
            self.reader.array(value, "a list of rules").into_iter().for_each(|value| self.rule(value));
        }
    }

    fn defaults(&mut self, value: Value<'_>) {
        let Some(fields) = self.reader.object(value, "defaults", &["in", "out"]) else { return };
        for (name, inbound) in [("in", true), ("out", false)] {
            if let Some(value) = fields.get(name)
                && let Some(action) = self.reader.choice(value, "an action", ACTIONS)
            {
                self.add(value, name, Statement::Default { inbound, action });
            }
        }
    }

    fn builtins(&mut self, value: Value<'_>) {
        let keys = Builtins::json_keys();
        let keys = keys.each_ref().map(String::as_str);
        let Some(fields) = self.reader.object(value, "built-in rules", &keys) else { return };
        for (key, name) in keys.into_iter().zip(Builtins::NAMES) {
            if let Some(value) = fields.get(key)
                && let Some(on) = self.reader.boolean(value)
            {
                self.add(value, name, Statement::Builtin { name, on });
            }
        }
    }

    fn timeouts(&mut self, value: Value<'_>) {
        let keys = Timeouts::json_keys();
        let keys = keys.each_ref().map(String::as_str);
        let Some(fields) = self.reader.object(value, "timeouts", &keys) else { return };
        for (index, key) in keys.into_iter().enumerate() {
            if let Some(value) = fields.get(key)
                && let Some(seconds) = self.reader.number(value, 1, MAX_TIMEOUT_S)
            {
                self.add(value, timeout::NAMES[index], Statement::Timeout { index, seconds });
            }
        }
    }

    fn failsafe(&mut self, value: Value<'_>) {
        const NONE: &str = "leave `failsafe` out for the default; `failsafe` in `builtins` switches it off";
        let lines = self.reader.array(value, "a list of failsafe rules");
        if lines.is_empty() && value.is_array() {
            self.reader.wrong(value, "there is no failsafe rule", "expected one at least", Some(NONE.to_owned()));
        }
        for line in lines {
            let before = self.reader.problems().len();
            if let Some(fields) = self.reader.object(line, "a failsafe rule", &SELECTOR) {
                let (selector, site) = selector(&fields, &mut self.reader);
                self.add_since(before, line, "", Statement::Failsafe { selector, site });
            }
        }
    }

    fn define(&mut self, value: Value<'_>) {
        let before = self.reader.problems().len();
        let Some(fields) = self.reader.object(value, "a set", &["name", "members"]) else { return };
        let mut members = Vec::new();
        if let Some(list) = self.reader.required(&fields, "members") {
            let elements = self.reader.array(list, "a list of addresses");
            if elements.is_empty() && list.is_array() {
                self.reader.wrong(list, "the set is empty", "a set has at least one member", None);
            }
            for element in elements {
                let address = self.reader.string(element, "an address", |line| line.address());
                members.extend(address.map(|(address, _)| Member::Address(address, element.span())));
            }
        }
        let Some(at) = self.reader.required(&fields, "name") else { return };
        let Some((name, _)) = self.reader.string(at, "a name", |line| line.name("set", |_| false)) else { return };
        self.add_since(before, at, &name.clone(), Statement::Define { name, members });
    }

    fn rule(&mut self, value: Value<'_>) {
        let before = self.reader.problems().len();
        let Some(fields) = self.reader.object(value, "a rule", RULE) else { return };
        let reader = &mut self.reader;
        let at = reader.required(&fields, "name");
        let name = at.and_then(|at| reader.string(at, "a name", |line| line.name("rule", |_| false)));
        let action = reader.required(&fields, "action").and_then(|value| reader.choice(value, "an action", ACTIONS));
        let (selector, site) = selector(&fields, reader);
        let priority = fields.get("priority").and_then(|value| reader.number(value, 0, u16::MAX));
        let log = fields.get("log").and_then(|value| reader.boolean(value));
        let audit = fields.get("audit").and_then(|value| reader.boolean(value));
        let (name, _) = name.unzip();
        let name = name.unwrap_or_default();
        let rule = Rule {
            name: name.clone(),
            action: action.unwrap_or(Action::Deny),
            selector,
            priority: priority.unwrap_or(DEFAULT_PRIORITY),
            log: log.unwrap_or(false),
            audit: audit.unwrap_or(false),
        };
        self.add_since(before, at.unwrap_or(value), &name, Statement::Rule { rule, site });
    }
}
