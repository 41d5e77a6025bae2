//! Session ids: one word that names a session, for people, shells and completion.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use mseg_ebpf::abi::session::SessionKey;

use super::{
    Protocol,
    address::{address, mapped},
};

/// The id of a session: `tcp-192.0.2.1-40000-198.51.100.7-443`, `udp-2001_db8__1-5353-2001_db8__2-5353-z3`.
///
/// Protocol, lower endpoint, higher endpoint, `e1` or `e2` for an echo that the former or the latter asked for, and `zN`
/// for a zone other than 0, joined by hyphens; in an IPv6 address `_` stands for `:`, which breaks bash's completion.
/// Letters, digits and `.-_` only, so no shell needs quotes.
/// It says all of the key and nothing else: it stays the same as long as the session lives, and again when the same
/// endpoints meet later. Parsing takes the endpoints in either order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(
    /// The key in SESSIONS, HALF_OPEN and DENIED.
    pub SessionKey,
);

impl SessionId {
    /// The id of the session between two endpoints, in whichever order. `echo`: 1 for an ICMP echo that `one` asked for,
    /// 2 if `other` did, 0 for all else.
    pub fn between(protocol: u8, one: (IpAddr, u16), other: (IpAddr, u16), echo: u8, zone: u16) -> Self {
        let one = (mapped(one.0), one.1.to_be_bytes());
        let other = (mapped(other.0), other.1.to_be_bytes());
        let (lower, higher, echo) = match (one <= other, echo) {
            (true, _) => (one, other, echo),
            (false, 0) => (other, one, 0),
            (false, asker) => (other, one, 3u8.saturating_sub(asker)),
        };
        Self(SessionKey {
            lower_address: lower.0,
            higher_address: higher.0,
            lower_port: lower.1,
            higher_port: higher.1,
            zone,
            protocol,
            echo,
        })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.0;
        write!(f, "{}-", Protocol(key.protocol))?;
        write_address(f, address(key.lower_address))?;
        write!(f, "-{}-", u16::from_be_bytes(key.lower_port))?;
        write_address(f, address(key.higher_address))?;
        write!(f, "-{}", u16::from_be_bytes(key.higher_port))?;
        if key.echo != 0 {
            write!(f, "-e{}", key.echo)?;
        }
        if key.zone != 0 {
            write!(f, "-z{}", key.zone)?;
        }
        Ok(())
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, address: IpAddr) -> fmt::Result {
    /// Passes text on with `_` for `:`.
    struct Underscores<'a, 'b>(&'a mut fmt::Formatter<'b>);

    impl fmt::Write for Underscores<'_, '_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let mut parts = text.split(':');
            self.0.write_str(parts.next().unwrap_or_default())?;
            parts.try_for_each(|part| {
                self.0.write_str("_")?;
                self.0.write_str(part)
            })
        }
    }

    match address {
        IpAddr::V4(v4) => fmt::Display::fmt(&v4, f),
        IpAddr::V6(v6) => fmt::write(&mut Underscores(f), format_args!("{v6}")),
    }
}

impl FromStr for SessionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            "expected PROTOCOL-ADDRESS-PORT-ADDRESS-PORT[-e1|-e2][-zZONE], with `_` for `:` in IPv6 addresses, as \
             `msegctl session list -v` prints it"
                .into()
        })
    }
}

fn parse(text: &str) -> Option<SessionId> {
    let mut parts = text.split('-');
    let protocol: Protocol = parts.next()?.parse().ok()?;
    let mut endpoint = || Some((parse_address(parts.next()?)?, parse_number(parts.next()?)?));
    let (one, other) = (endpoint()?, endpoint()?);
    let mut part = parts.next();
    let echo = match part {
        Some("e1") => 1,
        Some("e2") => 2,
        _ => 0,
    };
    if echo != 0 {
        part = parts.next();
    }
    let zone = match part {
        Some(zone) => parse_number(zone.strip_prefix('z')?)?,
        None => 0,
    };
    parts.next().is_none().then(|| SessionId::between(protocol.0, one, other, echo, zone))
}

fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return None;
    }
    text.replace('_', ":").parse().ok()
}

fn parse_number(text: &str) -> Option<u16> {
    // `u16::from_str` also takes a plus sign.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

impl serde::Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for SessionId {
    fn schema_name() -> Cow<'static, str> {
        "SessionId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Names a session; the argument of `msegctl session get` and `session delete`",
            "pattern": "^[a-z0-9]+-[0-9a-f._]+-[0-9]+-[0-9a-f._]+-[0-9]+(-e[12])?(-z[0-9]+)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|n| IpAddr::V4(n.into())),
            // Runs of zeros are where IPv6 text is shortened.
            any::<[u16; 8]>().prop_map(|n| IpAddr::V6(n.map(|n| if n & 1 == 0 { 0 } else { n }).into())),
            any::<u128>().prop_map(|n| IpAddr::V6(n.into())),
        ]
    }

    proptest! {
        #[test]
        fn an_id_parses_to_the_key_it_was_printed_from(
            protocol: u8, one in any_address(), one_port: u16, other in any_address(), other_port: u16, echo in 0u8..3, zone: u16,
        ) {
            let id = SessionId::between(protocol, (one, one_port), (other, other_port), echo, zone);
            let text = id.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)), "{text}");
            prop_assert_eq!(text.parse::<SessionId>(), Ok(id));
        }

        #[test]
        fn the_order_of_the_endpoints_does_not_matter(one in any_address(), other in any_address(), port: u16) {
            prop_assume!((one, port) != (other, 80));
            let id = SessionId::between(1, (one, port), (other, 80), 1, 0);
            prop_assert_eq!(id, SessionId::between(1, (other, 80), (one, port), 2, 0));
        }

        #[test]
        fn parsing_never_panics(text in "[a-z0-9._:+-]{0,60}") {
            let _ = text.parse::<SessionId>();
        }
    }

    #[test]
    fn ids_read_like_the_session() {
        let id = SessionId::between(6, ([192, 0, 2, 1].into(), 40000), ([198, 51, 100, 7].into(), 443), 0, 0);
        assert_eq!(id.to_string(), "tcp-192.0.2.1-40000-198.51.100.7-443");
        let id =
            SessionId::between(17, ("2001:db8::2".parse().unwrap(), 53), ("2001:db8::1".parse().unwrap(), 5353), 0, 3);
        assert_eq!(id.to_string(), "udp-2001_db8__1-5353-2001_db8__2-53-z3");
        let id = SessionId::between(1, ([192, 0, 2, 9].into(), 7), ([192, 0, 2, 1].into(), 7), 1, 0);
        assert_eq!(id.to_string(), "icmp-192.0.2.1-7-192.0.2.9-7-e2");
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "tcp",
            "tcp-10.0.0.1-1-10.0.0.2",
            "tcp-10.0.0.1-1-10.0.0.2-65536",
            "tcp-10.0.0.1-+1-10.0.0.2-2",
            "tcp-10.0.0.1-1-10.0.0.2-2-3",
            "tcp-10.0.0.1-1-10.0.0.2-2-z0-x",
            "icmp-10.0.0.1-1-10.0.0.2-1-e3",
            "icmp-10.0.0.1-1-10.0.0.2-1-z1-e1",
            "tcp-10.0.0.1--10.0.0.2-2",
            "tcp-::1-1-::2-2",
            "nope-10.0.0.1-1-10.0.0.2-2",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }
}
