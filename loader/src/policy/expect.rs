//! Reading assertions about a policy: `expect deny in tcp from 10.0.0.1 to 10.0.0.2 port 22 by no-ssh`.

use super::{
    diagnostic::Diagnostics, document::lines, evaluate::Packet, lexer::Kind, line::Line, model::Action, packet,
    problem::Problems, source::Sources, statement,
};

/// One assertion: what a packet gets, and from which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The line as it is written, without blanks around it and without a comment.
    pub text: String,
    /// What becomes of the packet.
    pub action: Action,
    /// The packet.
    pub packet: Packet,
    /// The rule that decides, or the reserved name of what else does; any if none.
    pub rule: Option<String>,
}

/// Reads a file of assertions, one a line. `file_name` is what errors call it. Every error of the text is reported.
pub fn parse_expectations(file_name: &str, text: &str) -> Result<Vec<Expectation>, Diagnostics> {
    read(file_name, text, Problems::default())
}

/// [`parse_expectations`] of a text of which some problems are known.
pub(super) fn read(file_name: &str, text: &str, mut problems: Problems) -> Result<Vec<Expectation>, Diagnostics> {
    let mut expectations = Vec::new();
    for (number, line) in lines(text) {
        expectations.extend(read_line(text, number, line, &mut problems));
        if problems.is_full() {
            break;
        }
    }
    if problems.is_empty() {
        Ok(expectations)
    } else {
        Err(Diagnostics::new(&Sources::text_only(file_name, text), problems))
    }
}

fn read_line(
    text: &str,
    number: usize,
    within: std::ops::Range<usize>,
    problems: &mut Problems,
) -> Option<Expectation> {
    let mut line = Line::new(text, within, problems);
    if line.kind() == Kind::End {
        return None;
    }
    let start = line.span().start;
    let (action, packet, rule) = expectation(&mut line)?;
    // At the end of the line or at the comment that ends it.
    let text = text[start..line.span().start].trim_end().to_owned();
    Some(Expectation { line: number, text, action, packet, rule })
}

/// None if anything is wrong, which is reported.
fn expectation(line: &mut Line<'_, '_>) -> Option<(Action, Packet, Option<String>)> {
    line.guess("an assertion", &["expect"])?;
    line.advance();
    let action = line.choice_before("a verdict", statement::ACTIONS, packet::FROM_DIRECTION);
    let packet = packet::packet(line, &["by"]);
    let mut rule = None;
    if line.peek_word() == Some("by") {
        line.advance();
        rule = line.word("the name of a rule", "").map(|(name, _)| name.to_owned());
    }
    if line.end() { Some((action?, packet?, rule)) } else { None }
}
