//! The lines of a table or script.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::expectation::Expectation;
use crate::packet::{Direction, words::Words};

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Whoever the packet says; this way.
    Way(Direction),
    /// The client of a script's connection.
    Client,
    /// The server of a script's connection.
    Server,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `attach OPTION...`: starts anew, with an empty state.
    Attach(Vec<String>),
    /// `policy`, and the indented lines below it.
    Policy(String),
    /// `script NAME`: another connection.
    Script(String),
    /// `outside client|server`: which side a stranger plays in a script; the other is the protected one.
    Outside(Sender),
    /// `mode observe|enforce`.|enforce`.
    Enforce(bool),
    /// `midstream strict|pickup|grace|grace-over`.
    Midstream(String),
    /// `generation N`: makes a generation active that does not exist; `generation back` undoes it.
    Generation(Option<u32>),
    /// `reset`: forgets every session and denial.
    Reset,
    /// `wait N ms`.
    Wait(Duration),
    /// `idle N s|d`: as if every session had last been seen so many seconds or days ago.
    Idle(Duration),
    /// `sessions N`: so many are there now.
    Sessions(usize),
    /// `fill N in|out PACKET`: so many packets that differ where the packet has a `*`; nothing is asserted.
    Fill(u16, Sender, String),
    /// `SENDER PACKET -> EXPECTATION`.
    Case(Sender, String, Expectation),
}

/// A statement and where it stands.
#[derive(Clone, Debug)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// As it is written.
    pub text: String,
    /// What it says.
    pub statement: Statement,
}

/// Reads a whole file.
///
/// # Errors
/// The first line that makes no sense.
pub fn read(text: &str) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let code = text.split('#').next().unwrap_or("");
        if code.trim().is_empty() {
            continue;
        }
        if code.starts_with(' ') {
            let Some(Line { statement: Statement::Policy(policy), .. }) = lines.last_mut() else {
                bail!("line {number}: only the lines of a policy are indented: {text}");
            };
            policy.push_str(code.trim());
            policy.push('\n');
            continue;
        }
        let statements = statements(code.trim()).with_context(|| format!("line {number}: {text}"))?;
        lines.extend(statements.into_iter().map(|statement| Line { number, text: text.to_owned(), statement }));
    }
    Ok(lines)
}

fn statements(code: &str) -> Result<Vec<Statement>> {
    let mut words = Words::new(code);
    let statement = match words.take("a statement")? {
        "attach" => Statement::Attach(words.rest().split_whitespace().map(str::to_owned).collect()),
        "policy" => Statement::Policy(String::new()),
        "script" => Statement::Script(words.rest().to_owned()),
        "outside" => match sender(words.rest())? {
            Sender::Way(_) => bail!("outside is the client or the server"),
            who => Statement::Outside(who),
        },
        "mode" => Statement::Enforce(match words.rest() {
            "enforce" => true,
            "observe" => false,
            other => bail!("there is no mode {other:?}"),
        }),
        "midstream" => match words.rest() {
            rest @ ("strict" | "pickup" | "grace" | "grace-over") => Statement::Midstream(rest.to_owned()),
            other => bail!("there is no midstream {other:?}"),
        },
        "generation" if words.accept("back") => Statement::Generation(None),
        "generation" => Statement::Generation(Some(words.number("a generation")?)),
        "reset" => Statement::Reset,
        "wait" => Statement::Wait(Duration::from_millis(words.number("milliseconds")?)),
        "idle" => {
            let number: u64 = words.number("how long")?;
            Statement::Idle(Duration::from_secs(match words.take("s or d")? {
                "s" => number,
                "d" => number * 86_400,
                other => bail!("there is no unit {other:?}"),
            }))
        }
        "sessions" => Statement::Sessions(words.number("a number of sessions")?),
        "open" => return open(words),
        "fill" => {
            let count = words.number("a number of packets")?;
            Statement::Fill(count, sender(words.take("a direction")?)?, words.rest().to_owned())
        }
        other => {
            let (packet, expected) = words.rest().split_once("->").context("a case has an arrow ->")?;
            let sender = sender(other)?;
            let tcp = matches!(sender, Sender::Client | Sender::Server) || format!(" {packet}").contains(" tcp ");
            Statement::Case(sender, packet.trim().to_owned(), Expectation::parse(expected, tcp)?)
        }
    };
    Ok(vec![statement])
}

fn sender(word: &str) -> Result<Sender> {
    Ok(match word {
        "in" => Sender::Way(Direction::In),
        "out" => Sender::Way(Direction::Out),
        "through" => Sender::Way(Direction::Through),
        "return" => Sender::Way(Direction::Return),
        "beyond" => Sender::Way(Direction::Beyond),
        "client" => Sender::Client,
        "server" => Sender::Server,
        other => bail!("there is no statement {other:?}"),
    })
}

/// `open [wscale CLIENT SERVER]`: a handshake from 1000 and 5000, so that 1001 and 5001 come next.
fn open(mut words: Words<'_>) -> Result<Vec<Statement>> {
    let (mut client, mut server) = (String::new(), String::new());
    if words.accept("wscale") {
        client = format!("wscale {}", words.number::<u8>("a shift")?);
        server = format!("wscale {}", words.number::<u8>("a shift")?);
    }
    words.end()?;
    let case = |sender, packet: String, state| -> Result<Statement> {
        Ok(Statement::Case(sender, packet, Expectation::parse(&format!("next {state}"), true)?))
    };
    Ok(vec![
        case(Sender::Client, format!("S seq 1000 {client}"), "syn-sent")?,
        case(Sender::Server, format!("SA seq 5000 ack 1001 {server}"), "syn-recv")?,
        case(Sender::Client, "A seq 1001 ack 5001".to_owned(), "established")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_line_by_line() {
        let text = "# heading\nattach --role host\npolicy\n    default in deny # why\n    rule a allow in udp\n\n\
            in ip c>s udp 1>2 -> next rule-allow new # because\nopen wscale 7 8\nfill 3 in ip c>s udp *>2\n";
        let lines = read(text).unwrap();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 3, 7, 8, 8, 8, 9]);
        assert_eq!(lines[1].statement, Statement::Policy("default in deny\nrule a allow in udp\n".to_owned()));
        let Statement::Case(sender, packet, expected) = &lines[2].statement else { panic!("a case") };
        assert_eq!((*sender, packet.as_str()), (Sender::Way(Direction::In), "ip c>s udp 1>2"));
        assert_eq!(expected.to_string(), "next rule-allow new");
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        for text in ["\n in x", "\nin ip c>s udp 1>2", "\nforward ip -> next", "\nmode maybe", "\nopen wscale 7"] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains("line 2"), "{error}");
        }
    }
}
