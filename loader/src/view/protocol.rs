//! IP protocols by name.

use std::{borrow::Cow, fmt, str::FromStr};

/// TCP.
const TCP: u8 = 6;

/// Names of the protocols that have one here (IANA's keywords, in lower case); the others are written as numbers.
const NAMES: [(u8, &str); 10] = [
    (1, "icmp"),
    (2, "igmp"),
    (TCP, "tcp"),
    (17, "udp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (132, "sctp"),
    (136, "udplite"),
];

/// An IP protocol: in documents its name, or its number as a string where it has none here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(
    /// The protocol number of the IP header.
    pub u8,
);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.pad(name),
            None => self.0.fmt(f),
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((number, _)) = NAMES.iter().find(|(_, name)| *name == text) {
            return Ok(Self(*number));
        }
        // `u8::from_str` also takes a plus sign.
        match text.parse() {
            Ok(number) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Self(number)),
            _ => Err("expected a protocol's name (tcp, udp, icmp, icmpv6, sctp, gre, esp, ...) or number".into()),
        }
    }
}

impl serde::Serialize for Protocol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Protocol {
    fn schema_name() -> Cow<'static, str> {
        "Protocol".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "An IP protocol: its name, or its number as a string",
            "examples": ["tcp", "udp", "icmpv6", "103"],
        })
    }
}
