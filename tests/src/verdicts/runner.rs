//! Runs the lines of a file in their order, and lists every case that fails.

use std::thread;

use anyhow::{Context, Result, bail, ensure};
use mseg::clock::monotonic_ns;
use mseg_ebpf::abi::config::{MIDSTREAM_GRACE, MIDSTREAM_PICKUP, MIDSTREAM_STRICT, MODE_ENFORCE, MODE_OBSERVE};

use super::{
    bench::Bench,
    expectation::{Expectation, Session, verdict_name},
    line::{Line, Sender, Statement, read},
};
use crate::{
    lab::Lab,
    packet::{self, Direction, Frame},
};

/// How a script's connection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Variant {
    /// Over IPv6.
    ipv6: bool,
    /// The client is the protected side.
    client_inside: bool,
}

impl Variant {
    /// All: first those with the client outside, last those with the client inside.
    const ALL: [Self; 4] = [
        Self { ipv6: true, client_inside: false },
        Self { ipv6: false, client_inside: false },
        Self { ipv6: true, client_inside: true },
        Self { ipv6: false, client_inside: true },
    ];
}

/// The server's port in every script.
const SERVER_PORT: u16 = 80;

/// Runs a file.
///
/// # Errors
/// Every case that fails, with the name of the file, its line, what was expected and what was seen.
pub fn run(lab: &Lab, file: &str, text: &str) -> Result<()> {
    let lines = read(text).with_context(|| file.to_owned())?;
    let mut runner = Runner { lab, variant: Variant::ALL[0], bench: None, generation: 0, port: 10_000 };
    let mut failures = Vec::new();
    let mut cases = 0;
    for group in lines.chunk_by(|_, next| !matches!(next.statement, Statement::Script(_))) {
        let (name, variants) = variants(group);
        for variant in variants {
            runner.variant = *variant;
            for line in group {
                cases += usize::from(matches!(line.statement, Statement::Case(..)));
                let Err(error) = runner.one(line) else { continue };
                failures.push(format!("{file}:{}: {}{name}\n    {error:#}", line.number, line.text.trim()));
                // What follows would fail, too.
                if matches!(line.statement, Statement::Attach(_) | Statement::Policy(_)) {
                    bail!("{}", failures.join("\n"));
                }
            }
        }
    }
    ensure!(failures.is_empty(), "{} of {cases} cases failed:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// What lines that belong together are called in an error, and how they are run.
fn variants(group: &[Line]) -> (String, &'static [Variant]) {
    let name = group.iter().find_map(|line| match &line.statement {
        Statement::Script(name) => Some(format!("  # {name}")),
        _ => None,
    });
    let outside = group.iter().find_map(|line| match line.statement {
        Statement::Outside(who) => Some(who),
        _ => None,
    });
    let variants = match (&name, outside) {
        (None, _) => &Variant::ALL[..1],
        (Some(_), None) => &Variant::ALL[1..3],
        (Some(_), Some(Sender::Server)) => &Variant::ALL[2..],
        (Some(_), Some(_)) => &Variant::ALL[..2],
    };
    (name.unwrap_or_default(), variants)
}

struct Runner<'a> {
    lab: &'a Lab,
    variant: Variant,
    bench: Option<Bench>,
    /// The active one, while another is set.
    generation: u32,
    /// The client's port.
    port: u16,
}

impl Runner<'_> {
    fn one(&mut self, line: &Line) -> Result<()> {
        match &line.statement {
            Statement::Attach(options) => {
                self.bench = None;
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                self.bench = Some(Bench::attach(self.lab, &options)?);
            }
            Statement::Policy(policy) => {
                self.lab.ctl(&["policy", "apply", self.lab.policy(policy)?])?;
            }
            Statement::Script(_) => {
                self.port += 1;
                self.set_midstream("strict")?;
            }
            Statement::Enforce(enforce) => {
                self.bench()?.instance().set_mode(if *enforce { MODE_ENFORCE } else { MODE_OBSERVE })?;
            }
            Statement::Midstream(midstream) => self.set_midstream(midstream)?,
            Statement::Generation(Some(generation)) => {
                self.generation = self.bench()?.instance().config()?.generation;
                self.bench()?.set_generation(*generation)?;
            }
            Statement::Generation(None) => self.bench()?.set_generation(self.generation)?,
            Statement::Outside(_) => {}
            Statement::Reset => self.bench()?.reset()?,
            Statement::Wait(time) => thread::sleep(*time),
            Statement::Sessions(expected) => {
                let count = self.bench()?.sessions()?.len();
                ensure!(count == *expected, "there are {count} sessions");
            }
            Statement::Fill(count, sender, packet) => {
                let packet = |number: u16| packet.replace('*', &(20_000 + number).to_string());
                let frames: Result<Vec<_>> = (0..*count).map(|number| self.frame(*sender, &packet(number))).collect();
                let (bench, frames) = (self.bench()?, frames?);
                self.lab.server.run(|| {
                    frames.iter().try_for_each(|(frame, direction)| bench.run_uncounted(frame, *direction).map(drop))
                })?;
            }
            Statement::Case(sender, packet, expected) => self.case(*sender, packet, expected)?,
        }
        Ok(())
    }

    fn bench(&self) -> Result<&Bench> {
        self.bench.as_ref().context("nothing is attached yet")
    }

    fn set_midstream(&self, word: &str) -> Result<()> {
        let instance = self.bench()?.instance();
        let now = monotonic_ns()?;
        let (midstream, grace_until) = match word {
            "pickup" => (MIDSTREAM_PICKUP, 0),
            "grace" => (MIDSTREAM_GRACE, now.saturating_add(60_000_000_000)),
            "grace-over" => (MIDSTREAM_GRACE, now.saturating_sub(1_000_000_000)),
            _ => (MIDSTREAM_STRICT, 0),
        };
        instance.set_grace_until(grace_until)?;
        Ok(instance.set_midstream(midstream)?)
    }

    /// The frame that a packet's words describe, and its way.
    fn frame(&self, sender: Sender, packet: &str) -> Result<(Frame, Direction)> {
        let from_client = match sender {
            Sender::Way(direction) => return Ok((packet::parse(packet, direction)?, direction)),
            Sender::Client => true,
            Sender::Server => false,
        };
        let (outside, inside) = if self.variant.ipv6 { ("c6", "s6") } else { ("c", "s") };
        // The client's packets come in, unless it is inside.
        let inwards = from_client != self.variant.client_inside;
        let (from, to, direction) =
            if inwards { (outside, inside, Direction::In) } else { (inside, outside, Direction::Out) };
        let (from_port, to_port) = if from_client { (self.port, SERVER_PORT) } else { (SERVER_PORT, self.port) };
        let line = format!("ip {from}>{to} tcp {from_port}>{to_port} {packet}");
        Ok((packet::parse(&line, direction)?, direction))
    }

    fn case(&self, sender: Sender, packet: &str, expected: &Expectation) -> Result<()> {
        let (frame, direction) = self.frame(sender, packet)?;
        let bench = self.bench()?;
        let hits = if expected.rule.is_some() { self.lab.mounts.run(|| bench.rule_packets())? } else { Vec::new() };
        let seen = self.lab.server.run(|| bench.run(&frame, direction))?;
        let mut got = vec![verdict_name(seen.verdict).to_owned(), seen.reason.to_owned()];
        let mut right = expected.verdict.is_none_or(|verdict| verdict == seen.verdict);
        right &= expected.reason.as_ref().is_none_or(|reason| reason == seen.reason);
        let session = bench.session(&frame)?;
        let state = session.map(|(state, tcp)| match (&expected.session, state, tcp) {
            (Session::Any(_), Some(state), _) | (_, Some(state), None) => Session::Any(state),
            (_, _, Some(tcp)) => Session::Tcp(tcp),
            _ => Session::None,
        });
        let state = state.unwrap_or(Session::None);
        right &= expected.session == Session::Whatever || expected.session == state;
        got.push(state.to_string());
        if let Some(rule) = &expected.rule {
            let after = self.lab.mounts.run(|| bench.rule_packets())?;
            let moved = after.iter().zip(&hits).filter(|(after, before)| after != before);
            let names: Vec<_> = moved.map(|((name, _), _)| name.as_str()).collect();
            right &= names == [rule.as_str()];
            got.push(format!("by {}", names.join(",")));
        }
        ensure!(right, "expected {expected}, got {}, of: {packet} ({:?})", got.join(" "), self.variant);
        Ok(())
    }
}
