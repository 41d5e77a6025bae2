//! Reading what msegctl prints as JSON.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{capture::Count, lab::Lab};

impl Lab {
    /// The sessions that pass these filters.
    ///
    /// # Errors
    /// When msegctl fails, for another reason than that there are none.
    pub fn sessions(&self, filters: &[&str]) -> Result<Vec<Value>> {
        let ran = self.run("msegctl", &[&["-j", "session", "list"], filters].concat())?;
        // Exit code 1 also means that nothing matched.
        let ran = if ran.status.code() == Some(1) { ran } else { ran.ok()? };
        list(&ran.json()?, "mseg.session-list/1", "sessions")
    }

    /// The one session of a protocol whose client has this port or ICMP identifier.
    ///
    /// # Errors
    /// When there is none, or there are more.
    pub fn session(&self, protocol: &str, client_port: u16) -> Result<Value> {
        let port = client_port.to_string();
        let mut found = self.sessions(&["--proto", protocol, "--port", &port])?;
        ensure!(found.len() == 1, "expected one session of {protocol} {port}, found {found:#?}");
        Ok(found.remove(0))
    }

    /// One rule, with its hits.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn rule(&self, name: &str) -> Result<Value> {
        let rules = list(&self.json(&["rule", "list"])?, "mseg.rule-list/1", "rules")?;
        rules.iter().find(|rule| rule["name"] == name).cloned().with_context(|| format!("no rule {name} in {rules:#?}"))
    }

    /// All statistics.
    ///
    /// # Errors
    /// When msegctl fails.
    pub fn stats(&self) -> Result<Value> {
        self.json(&["stats", "show"])
    }
}

/// The list in a document, whose schema is checked.
///
/// # Errors
/// When it is another document.
pub fn list(document: &Value, schema: &str, key: &str) -> Result<Vec<Value>> {
    ensure!(document["schema"] == schema, "expected the schema {schema}: {document:#}");
    document[key].as_array().cloned().with_context(|| format!("no list {key} in {document:#}"))
}

/// A number in a document, by its JSON pointer.
///
/// # Errors
/// When there is none.
pub fn number(document: &Value, pointer: &str) -> Result<u64> {
    document.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("no number {pointer} in {document:#}"))
}

/// Fails unless a place in a document has this value.
///
/// # Errors
/// When it has another.
pub fn expect(document: &Value, pointer: &str, expected: impl Into<Value>) -> Result<()> {
    let expected = expected.into();
    let found = document.pointer(pointer).unwrap_or(&Value::Null);
    ensure!(*found == expected, "expected {pointer} to be {expected}, found {found} in {document:#}");
    Ok(())
}

/// What a session counted: to the server, to the client.
///
/// # Errors
/// When a number is missing.
pub fn traffic(session: &Value) -> Result<[Count; 2]> {
    let count = |side: &str| -> Result<Count> {
        let field = |name: &str| number(session, &format!("/{side}/{name}"));
        Ok(Count { packets: field("packets")?, bytes: field("bytes")? })
    };
    Ok([count("to_server")?, count("to_client")?])
}
