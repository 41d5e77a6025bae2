//! Changing a policy one rule at a time.

use super::{
    model::{Policy, Rule},
    parse,
};
use crate::error::{Code, Error, Result};

impl Policy {
    /// Appends a rule.
    ///
    /// # Errors
    /// [`Code::Failed`] if a rule of this name exists, [`Code::InvalidPolicy`] if the rule makes no sense here: a set
    /// that is not defined, addresses that no packet can have.
    pub fn add_rule(&mut self, rule: Rule) -> Result<()> {
        if self.rule(&rule.name).is_some() {
            let message = format!("there is a rule `{}` already", rule.name);
            return Err(Error::failed(message).hint("delete it first, or choose another name"));
        }
        self.rules.push(rule);
        // One checker for rules of every origin.
        let checked = self.check();
        if checked.is_err() {
            self.rules.pop();
        }
        checked
    }

    /// Removes the rule of this name.
    ///
    /// # Errors
    /// [`Code::Failed`] if there is none.
    pub fn remove_rule(&mut self, name: &str) -> Result<Rule> {
        match self.rules.iter().position(|rule| rule.name == name) {
            Some(index) => Ok(self.rules.remove(index)),
            None => {
                let error = Error::failed(format!("there is no rule {}", super::words::quote(name)));
                let known = self.rules.iter().map(|rule| rule.name.as_str()).take(1000);
                Err(match super::words::similar(name, known) {
                    Some(meant) => error.hint(format!("did you mean `{meant}`?")),
                    None => error,
                })
            }
        }
    }

    /// Whether the policy says what its text says: the text parses, and to the same.
    ///
    /// # Errors
    /// [`Code::InvalidPolicy`].
    pub fn check(&self) -> Result<()> {
        if parse("policy", &self.to_string())? == *self {
            return Ok(());
        }
        Err(Error::new(Code::InvalidPolicy, "the policy holds something that the language cannot say"))
    }
}
