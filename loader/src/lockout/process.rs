//! Processes: whom they descend from, and which sockets they hold.

use std::{collections::HashSet, fs, path::PathBuf};

/// Generations of processes to go back: more than anyone nests shells.
const ANCESTORS: usize = 64;
/// Programs by which one logs in from elsewhere, up to a hyphen: sshd-session is one. What other programs serve, as an
/// agent that runs this, is not the caller's connection.
const LOGIN_SERVERS: [&str; 7] = ["sshd", "dropbear", "telnetd", "in.telnetd", "rlogind", "in.rlogind", "login"];

/// A process, by its directory in /proc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process(PathBuf);

/// What tells by which connection a process was logged in to.
#[derive(Debug)]
pub(super) struct Login {
    /// `$SSH_CONNECTION`, its own or that of one it descends from; sudo and others take it out of the caller's.
    pub(super) variable: Option<String>,
    /// The inodes of the sockets that servers of logins hold which it descends from; in a terminal that descends from none,
    /// of any.
    pub(super) held: HashSet<u32>,
}

impl Process {
    /// This one.
    pub(super) fn own() -> Self {
        Self::of(std::process::id())
    }

    fn of(pid: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{pid}")))
    }

    fn all() -> impl Iterator<Item = Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Self::of)
    }

    /// Those that hold a socket.
    pub(super) fn holding(inode: u32) -> impl Iterator<Item = Self> {
        Self::all().filter(move |process| inode != 0 && process.inodes().contains(&inode))
    }

    /// How it was logged in.
    pub(super) fn login(&self) -> Login {
        let lineage = self.lineage();
        let mut servers: Vec<_> = lineage.iter().filter(|process| process.serves_logins()).cloned().collect();
        // In a terminal multiplexer, which may be older than any log-in, or by su from another's: any that is here may be his.
        if servers.is_empty() && self.is_on_pseudo_terminal() {
            servers.extend(Self::all().filter(Self::serves_logins));
        }
        Login {
            variable: lineage.iter().find_map(Self::variable),
            held: servers.iter().flat_map(Self::inodes).collect(),
        }
    }

    /// The name of its program.
    pub(super) fn name(&self) -> String {
        fs::read_to_string(self.0.join("comm")).unwrap_or_default().trim_end().to_owned()
    }

    /// Whether it has a controlling terminal.
    pub(super) fn has_terminal(&self) -> bool {
        self.terminal() != 0
    }

    /// Itself and those it descends from, but for the first of all.
    fn lineage(&self) -> Vec<Self> {
        let mut found = Vec::new();
        let mut next = Some(self.clone());
        while let Some(process) = next.filter(|process| *process != Self::of(1) && found.len() < ANCESTORS) {
            let Ok(status) = fs::read_to_string(process.0.join("status")) else { break };
            found.push(process);
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
            next = parent.and_then(|parent| parent.trim().parse().ok()).filter(|pid| *pid != 0).map(Self::of);
        }
        found
    }

    fn variable(&self) -> Option<String> {
        let environment = fs::read(self.0.join("environ")).ok()?;
        let value = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="))?;
        String::from_utf8(value.to_vec()).ok()
    }

    /// The device number of the controlling terminal; 0 if there is none.
    fn terminal(&self) -> u32 {
        let stat = fs::read_to_string(self.0.join("stat")).unwrap_or_default();
        // After the name, which may hold anything: state, parent, group, session, terminal (proc_pid_stat(5)).
        let device = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(4)?.parse().ok());
        device.unwrap_or(0)
    }

    /// Major numbers 136 to 143 (Documentation/admin-guide/devices.txt).
    fn is_on_pseudo_terminal(&self) -> bool {
        (136..=143).contains(&(self.terminal() >> 8 & 0xfff))
    }

    fn serves_logins(&self) -> bool {
        let name = self.name();
        LOGIN_SERVERS.iter().any(|server| name.split('-').next() == Some(server))
    }

    /// The inodes of the sockets that it holds.
    fn inodes(&self) -> Vec<u32> {
        let descriptors = fs::read_dir(self.0.join("fd")).into_iter().flatten().flatten();
        let links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn a_process_descends_from_itself_first() {
        assert_eq!(Process::own().lineage()[0], Process::own());
        assert!(Process::of(1).lineage().is_empty());
    }

    #[test]
    fn a_process_holds_its_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        let inode = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        assert!(Process::own().inodes().contains(&inode));
        assert!(Process::holding(inode).any(|process| process == Process::own()));
        assert!(Process::holding(0).next().is_none());
    }
}
