//! Just enough DHCP (RFC 2131) for a lease.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};

/// The client's port.
pub const CLIENT: u16 = 68;
/// The server's port.
pub const SERVER: u16 = 67;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;
const OPTION_ADDRESS: u8 = 50;
const OPTION_KIND: u8 = 53;
const OPTION_SERVER: u8 = 54;
const OPTION_END: u8 = 255;

/// What a message says (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Is there a server?
    Discover = 1,
    /// There is one, with this address.
    Offer = 2,
    /// May I have it?
    Request = 3,
    /// It is yours.
    Ack = 5,
}

/// A message, of which this much matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub kind: Kind,
    /// Which exchange it belongs to.
    pub transaction: u32,
    /// The client's hardware address.
    pub hardware: [u8; 6],
    /// The address that the client has, to renew it.
    pub has: Ipv4Addr,
    /// The address offered, asked for, or given.
    pub address: Ipv4Addr,
    /// The server's.
    pub server: Ipv4Addr,
}

impl Message {
    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        const ETHERNET: u8 = 1;
        let is_reply = matches!(self.kind, Kind::Offer | Kind::Ack);
        let mut bytes = vec![0; OPTIONS];
        bytes[..4].copy_from_slice(&[1 + u8::from(is_reply), ETHERNET, 6, 0]);
        bytes[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        // Answer by broadcast: there is no address to answer to yet.
        bytes[10] = if self.has.is_unspecified() { 0x80 } else { 0 };
        bytes[12..16].copy_from_slice(&self.has.octets());
        if is_reply {
            bytes[16..20].copy_from_slice(&self.address.octets());
        }
        bytes[28..34].copy_from_slice(&self.hardware);
        bytes[236..240].copy_from_slice(&COOKIE);
        bytes.extend([OPTION_KIND, 1, self.kind as u8, OPTION_SERVER, 4]);
        bytes.extend(self.server.octets());
        bytes.extend([OPTION_ADDRESS, 4]);
        bytes.extend(self.address.octets());
        bytes.push(OPTION_END);
        bytes
    }

    /// From what was received.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.get(236..240) == Some(&COOKIE), "not DHCP: {bytes:?}");
        let kind = match option(bytes, OPTION_KIND)? {
            [1] => Kind::Discover,
            [2] => Kind::Offer,
            [3] => Kind::Request,
            [5] => Kind::Ack,
            other => anyhow::bail!("a message of kind {other:?}"),
        };
        let address = |bytes: &[u8]| -> Result<Ipv4Addr> { Ok(<[u8; 4]>::try_from(bytes)?.into()) };
        Ok(Self {
            kind,
            transaction: u32::from_be_bytes(bytes[4..8].try_into()?),
            hardware: bytes[28..34].try_into()?,
            has: address(&bytes[12..16])?,
            address: address(option(bytes, OPTION_ADDRESS)?)?,
            server: address(option(bytes, OPTION_SERVER)?)?,
        })
    }
}

fn option(bytes: &[u8], wanted: u8) -> Result<&[u8]> {
    let mut rest = &bytes[OPTIONS..];
    while let [kind, length, more @ ..] = rest {
        let value = more.get(..usize::from(*length)).context("an option is cut short")?;
        if *kind == wanted {
            return Ok(value);
        }
        rest = &more[value.len()..];
    }
    anyhow::bail!("there is no option {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        for kind in [Kind::Discover, Kind::Offer, Kind::Request, Kind::Ack] {
            let message = Message {
                kind,
                transaction: 0x1234_5678,
                hardware: [2, 0, 0, 0, 0, 2],
                has: Ipv4Addr::UNSPECIFIED,
                address: Ipv4Addr::new(192, 0, 2, 2),
                server: Ipv4Addr::new(192, 0, 2, 1),
            };
            assert_eq!(Message::parse(&message.bytes())?, message);
        }
        assert!(Message::parse(&[0; 300]).is_err());
        Ok(())
    }
}
