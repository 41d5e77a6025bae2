//! Reading assertions about a policy: `expect deny in tcp from 10.0.0.1 to 10.0.0.2 port 22 by no-ssh`.

use super::{
    diagnostic::Diagnostics,
    evaluate::Packet,
    lexer::Kind,
    line::{Line, Step},
    model::Action,
    packet,
    problem::Problems,
    source::Sources,
    statement,
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
    let (mut problems, mut expectations) = (Problems::default(), Vec::new());
    let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    for number in 1.. {
        let length = text[start..].find('\n');
        let end = length.map_or(text.len(), |length| start + length);
        expectations.extend(read_line(text, number, start..end, &mut problems));
        if length.is_none() {
            break;
        }
        start = end + 1;
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
    let read = expectation(&mut line).and_then(|read| line.end().map(|()| read));
    let (action, packet, rule) = read.ok().filter(|_| !line.failed)?;
    // At the end of the line or at the comment that ends it.
    let text = text[start..line.span().start].trim_end().to_owned();
    Some(Expectation { line: number, text, action, packet, rule })
}

fn expectation(line: &mut Line<'_, '_>) -> Step<(Action, Packet, Option<String>)> {
    line.choice("an assertion", &[("expect", ())])?;
    let action = line.choice("a verdict", statement::ACTIONS)?;
    let packet = packet::packet(line, &["by"])?;
    let mut rule = None;
    if line.peek_word() == Some("by") {
        line.advance();
        let (name, _) = line.word("the name of a rule", "")?;
        rule = Some(name.to_owned());
    }
    Ok((action, packet, rule))
}
