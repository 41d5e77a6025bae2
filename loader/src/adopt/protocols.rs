//! Sockets of protocols that are not adopted: how many there are, so that nobody thinks they were.

use std::fs;

use super::report::Unread;

const PATH: &str = "/proc/thread-self/net/protocols";

/// The kernel's names for protocols with connections whose sockets inet_diag is not asked for: that would load modules.
const NAMES: [(&str, &str); 6] = [
    ("SCTP", "SCTP sockets"),
    ("SCTPv6", "SCTP sockets over IPv6"),
    ("DCCP", "DCCP sockets"),
    ("DCCPv6", "DCCP sockets over IPv6"),
    ("UDP-Lite", "UDP-Lite sockets"),
    ("UDPLITEv6", "UDP-Lite sockets over IPv6"),
];

/// What there is of them in this network namespace.
pub(super) fn unread() -> Vec<Unread> {
    fs::read_to_string(PATH).map(|text| parse(&text)).unwrap_or_default()
}

fn parse(text: &str) -> Vec<Unread> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, count) = (words.next()?, words.nth(1)?.parse::<u64>().ok()?);
        let (_, what) = NAMES.iter().find(|(known, _)| *known == name)?;
        let why = format!("there are {count}, and only TCP and UDP sockets are read");
        (count > 0).then(|| Unread { what: (*what).to_owned(), why })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_other_protocols_are_counted() {
        let text = "protocol  size sockets  memory press maxhdr  slab module     cl co\n\
            SCTP      1640      3      -1   no       0   yes  sctp        y  y\n\
            SCTPv6    1792      0      -1   no       0   yes  sctp        y  y\n\
            TCP       2440     21       4   no     320   yes  kernel      y  y\n";
        let found = parse(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "SCTP sockets");
        assert!(found[0].why.contains("there are 3"));
        assert!(parse("").is_empty());
    }
}
