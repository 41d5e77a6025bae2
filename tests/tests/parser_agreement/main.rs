//! Three parsers on the same frames: ours on the host, the loaded program, and etherparse.
//!
//! `MSEG_FRAMES` is how many frames are made (100,000 if it is not set), `MSEG_FIRST` the number of the first, by which
//! a frame that failed can be made again. `MSEG_CORPUS` is a folder of captures, every frame of which is tried too.

mod corpus;
mod generate;
mod host;
mod payload;
mod program;
mod referee;
mod referee_transport;
mod wire;

use std::{
    cell::Cell,
    collections::BTreeMap,
    env,
    io::{self, Write},
    ops::Range,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use mseg_ebpf::{
    abi::reason::Reason,
    packet::{Kind, Packet},
};
use mseg_tests::{hook::Hook, lab::Lab, privilege, require_root};

use corpus::Corpus;
use generate::{Sample, sample};
use program::Program;
use wire::Wire;

/// How many frames, if nobody says.
const FRAMES: u64 = 100_000;

fn frames() -> Result<Range<u64>> {
    let number = |name: &str, default| match env::var(name) {
        Ok(text) => text.replace('_', "").parse().with_context(|| format!("{name}={text} is no number")),
        Err(_) => Ok(default),
    };
    let first = number("MSEG_FIRST", 0)?;
    Ok(first..first + number("MSEG_FRAMES", FRAMES)?)
}

/// The hook does not matter to the program; where there is no TCX the other is taken.
fn hook() -> Hook {
    if privilege::kernel_has_tcx() { Hook::Tcx } else { Hook::Clsact }
}

/// A frame as text2pcap and Wireshark take it.
fn hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Our parser and etherparse.
fn agree_on_the_host(sample: &Sample) -> Result<()> {
    let (outcome, packet) = host::parsed(sample);
    let ours = outcome.map(|kind| (kind, if kind == Kind::Ip { packet } else { Packet::default() }));
    let theirs = referee::judge(&sample.frame, sample.gso);
    ensure!(ours == theirs, "ours: {ours:?}\ntheirs: {theirs:?}");
    Ok(())
}

#[test]
fn the_parser_reads_what_etherparse_reads() -> Result<()> {
    let mut outcomes = BTreeMap::new();
    for number in frames()? {
        let sample = sample(number);
        agree_on_the_host(&sample).with_context(|| format!("frame {number}: {}", hex(&sample.frame)))?;
        let (outcome, packet) = host::parsed(&sample);
        *outcomes.entry(program::expected(outcome, &packet).1).or_insert(0_u64) += 1;
    }
    // Overlapping is between two frames.
    let is_missing = |reason: &Reason| *reason >= Reason::EthernetShort && !outcomes.contains_key(reason);
    let missing: Vec<_> = Reason::ALL.iter().filter(|&reason| is_missing(reason)).collect();
    ensure!(missing == [&Reason::FragmentOverlap], "the frames are too much alike: none for {missing:?}");
    Ok(())
}

#[test]
fn the_loaded_program_reads_what_the_parser_reads() -> Result<()> {
    require_root!();
    Lab::test(hook(), |lab| {
        let program = Program::attach(lab)?;
        let frames = frames()?;
        let wanted = frames.end - frames.start;
        let (mut ran, mut refused) = (0, 0);
        // The kernel runs no frame that ends within the header its type names: others make up for them.
        for number in frames.start.. {
            if ran == wanted {
                break;
            }
            let sample = sample(number);
            let (outcome, packet) = host::parsed(&sample);
            let agrees = program.agrees(&sample, outcome, &packet);
            let agrees = agrees.with_context(|| format!("frame {number}, {packet:?}: {}", hex(&sample.frame)))?;
            (ran, refused) = (ran + u64::from(agrees), refused + u64::from(!agrees));
            ensure!(refused < 100 + wanted / 10, "the kernel refuses {refused} frames and took {ran}");
        }
        eprintln!("{ran} frames ran in the loaded program, {refused} more were refused by the kernel as too short");
        let counted: u64 = program.all()?.iter().map(|(_, packets)| packets).sum();
        ensure!(counted == ran, "{ran} frames ran, {counted} are counted");
        Ok(())
    })
}

#[test]
fn the_loaded_program_reads_real_packets_in_one_piece_and_in_several() -> Result<()> {
    require_root!();
    Lab::test(hook(), |lab| {
        let program = Program::attach(lab)?;
        let wire = Wire::new(lab, &program)?;
        let frames = frames()?;
        // A real packet costs more than a run.
        for number in frames.start..frames.start + (frames.end - frames.start) / 10 {
            let frame = sample(number).frame;
            // Within each header, and between them.
            let linear = 14 + (number % 64) as u16;
            wire::agrees_whole_and_in_pieces(&wire, &frame, linear)
                .with_context(|| format!("frame {number}: {}", hex(&frame)))?;
        }
        Ok(())
    })
}

#[test]
fn all_parsers_agree_on_every_frame_of_the_corpus() -> Result<()> {
    let Some(folder) = env::var_os("MSEG_CORPUS") else {
        privilege::not_applicable("MSEG_CORPUS names no folder of captures");
        return Ok(());
    };
    let corpus = Corpus::read(Path::new(&folder))?;
    ensure!(!corpus.frames.is_empty(), "no frame to try: {corpus:#?}");
    for (name, frame) in &corpus.frames {
        let sample = Sample { frame: frame.clone(), gso: false };
        agree_on_the_host(&sample).with_context(|| format!("{name}: {}", hex(frame)))?;
    }
    require_root!();
    let ran = Cell::new((0, 0, 0));
    Lab::test(hook(), |lab| {
        let program = Program::attach(lab)?;
        let wire = Wire::new(lab, &program)?;
        let (mut in_test_run, mut on_the_wire, mut cut) = (0, 0, 0);
        // The kernel has no frame without a whole Ethernet header.
        for (name, frame) in corpus.frames.iter().filter(|(_, frame)| frame.len() >= 14) {
            // A cable carries no more; offload makes larger frames in the stack alone.
            let frame = &frame[..frame.len().min(wire::LONGEST)];
            let sample = Sample { frame: frame.to_vec(), gso: false };
            let (outcome, packet) = host::parsed(&sample);
            let run = program.agrees(&sample, outcome, &packet);
            in_test_run += u64::from(run.with_context(|| format!("{name}: {}", hex(frame)))?);
            wire::agrees_whole_and_in_pieces(&wire, frame, 14)
                .with_context(|| format!("{name}, on the wire: {}", hex(frame)))?;
            on_the_wire += 1;
            cut += u64::from(frame.len() == wire::LONGEST);
        }
        ran.set((in_test_run, on_the_wire, cut));
        Ok(())
    })?;
    let (in_test_run, on_the_wire, cut) = ran.get();
    // Past the capture of libtest: what was not tried must not go unnoticed.
    writeln!(
        io::stderr(),
        "corpus: {} frames of {} captures; {in_test_run} in a test run, {on_the_wire} on the wire, {cut} of those cut \
         short; {} of other links; not read: {:?}",
        corpus.frames.len(),
        corpus.captures,
        corpus.other_links,
        corpus.unreadable
    )?;
    Ok(())
}
