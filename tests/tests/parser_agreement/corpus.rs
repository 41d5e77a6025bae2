//! Captures of the user's own: every frame of every file in a folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

/// Room for the largest record.
const CAPACITY: usize = 4 << 20;

/// What came out of a folder.
#[derive(Debug, Default)]
pub(crate) struct Corpus {
    /// Frames that begin with an Ethernet header, and where they are from.
    pub(crate) frames: Vec<(String, Vec<u8>)>,
    /// Captures that were read.
    pub(crate) captures: usize,
    /// Frames of other kinds of link.
    pub(crate) other_links: usize,
    /// Files that are not captures, or are broken off.
    pub(crate) unreadable: Vec<String>,
}

impl Corpus {
    /// Reads pcap and pcapng files below a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut corpus = Self::default();
        let mut files = Vec::new();
        list(folder, &mut files)?;
        files.sort();
        for file in files {
            if let Err(error) = corpus.add(&file) {
                corpus.unreadable.push(format!("{}: {error:#}", file.display()));
            }
        }
        Ok(corpus)
    }

    fn add(&mut self, file: &Path) -> Result<()> {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut reader = create_reader(CAPACITY, File::open(file)?).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        self.captures += 1;
        let mut links = Vec::new();
        let mut number = 0;
        loop {
            let (consumed, block) = match reader.next() {
                Ok(next) => next,
                Err(PcapError::Eof) => return Ok(()),
                Err(PcapError::Incomplete(_)) => {
                    reader.refill().map_err(|error| anyhow::anyhow!("{error:?}"))?;
                    continue;
                }
                Err(error) => return Err(anyhow::anyhow!("after frame {number}: {error:?}")),
            };
            let frame = match block {
                PcapBlockOwned::LegacyHeader(header) => {
                    links.push(header.network);
                    None
                }
                PcapBlockOwned::Legacy(packet) => Some((0, packet.data)),
                PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                    links.push(interface.linktype);
                    None
                }
                PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                    let length = packet.data.len().min(packet.caplen as usize);
                    Some((packet.if_id as usize, &packet.data[..length]))
                }
                PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                    let length = packet.data.len().min(packet.origlen as usize);
                    Some((0, &packet.data[..length]))
                }
                PcapBlockOwned::NG(_) => None,
            };
            if let Some((interface, data)) = frame {
                number += 1;
                // The upper half tells of frame check sequences.
                let link = links.get(interface).map(|link| link.0 & 0xffff);
                if link == Some(Linktype::ETHERNET.0) {
                    self.frames.push((format!("{name}, frame {number}"), data.to_vec()));
                } else {
                    self.other_links += 1;
                }
            }
            reader.consume(consumed);
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
            files.push(path);
        }
    }
    Ok(())
}
