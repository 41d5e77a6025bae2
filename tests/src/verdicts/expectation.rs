//! What is to become of a packet: the words behind `->`.

use std::fmt;

use anyhow::{Result, bail};
use mseg::view::{State, TcpState};
use mseg_ebpf::abi::stats::{VERDICT_ALLOWED, VERDICT_DENIED, VERDICT_OBSERVED};

use crate::packet::words::Words;

/// A session, as far as a case speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Session {
    /// Nothing is said of it.
    Whatever,
    /// There is none.
    None,
    /// It is in this sub-state.
    Tcp(TcpState),
    /// It is in this state.
    Any(State),
}

/// What is to become of a packet: `next|shot|observed|any [REASON]|shot|observed [REASON] [none | STATE | TCP-STATE] [by RULE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// `VERDICT_*`; none is any.
    pub verdict: Option<u32>,
    /// The name of the reason; none is any that fits the verdict.
    pub reason: Option<String>,
    /// The session afterwards.
    pub session: Session,
    /// The rule that is credited.
    pub rule: Option<String>,
}

impl Expectation {
    /// From the words behind the arrow. `tcp` says what `established` is: a sub-state of TCP, or a state.
    ///
    /// # Errors
    /// What makes no sense.
    pub fn parse(text: &str, tcp: bool) -> Result<Self> {
        let mut words = Words::new(text);
        let verdict = match words.take("a verdict")? {
            "next" => Some(VERDICT_ALLOWED),
            "shot" => Some(VERDICT_DENIED),
            "observed" => Some(VERDICT_OBSERVED),
            "any" => None,
            other => bail!("a verdict is next, shot, observed or any, not {other:?}"),
        };
        let mut expectation = Self { verdict, reason: None, session: Session::Whatever, rule: None };
        while words.peek().is_some() {
            if words.accept("by") {
                expectation.rule = Some(words.take("a rule")?.to_owned());
                continue;
            }
            let word = words.take("a word")?;
            let session = match (word, word.parse(), word.parse()) {
                ("none", ..) => Some(Session::None),
                (_, Ok(state), _) if tcp => Some(Session::Tcp(state)),
                (_, _, Ok(state)) => Some(Session::Any(state)),
                _ => None,
            };
            match session {
                Some(session) if expectation.session == Session::Whatever => expectation.session = session,
                // Whether there is such a reason is for the comparison: a name that is not there is never seen.
                None if expectation.reason.is_none() => expectation.reason = Some(word.to_owned()),
                _ => bail!("{word:?} says something twice"),
            }
        }
        Ok(expectation)
    }
}

/// A verdict's word.
pub(super) fn verdict_name(verdict: u32) -> &'static str {
    match verdict {
        VERDICT_ALLOWED => "next",
        VERDICT_DENIED => "shot",
        _ => "observed",
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whatever => f.write_str("-"),
            Self::None => f.write_str("none"),
            Self::Tcp(state) => state.fmt(f),
            Self::Any(state) => state.fmt(f),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verdict.map_or("any", verdict_name))?;
        if let Some(reason) = &self.reason {
            write!(f, " {reason}")?;
        }
        if self.session != Session::Whatever {
            write!(f, " {}", self.session)?;
        }
        match &self.rule {
            Some(rule) => write!(f, " by {rule}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_reads_as_it_is_printed() {
        for text in [
            "next",
            "shot tcp-window",
            "next session established by web",
            "any established",
            "observed default-deny new",
        ] {
            assert_eq!(Expectation::parse(text, false).unwrap().to_string(), text);
        }
        assert_eq!(Expectation::parse("next established", true).unwrap().session, Session::Tcp(TcpState::Established));
        assert_eq!(Expectation::parse("next established", false).unwrap().session, Session::Any(State::Established));
        assert_eq!(Expectation::parse("next closing", true).unwrap().session, Session::Any(State::Closing));
    }

    #[test]
    fn an_expectation_says_each_thing_once() {
        for text in ["", "allow", "next session session-2", "next none closed", "next by"] {
            assert!(Expectation::parse(text, true).is_err(), "{text}");
        }
    }
}
