//! What must hold after a conversation that was never hindered.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    documents::{expect, list, traffic},
    lab::Lab,
};

/// Reasons that no packet of a legitimate connection ever has.
const NEVER: [&str; 2] = ["tcp-window", "tcp-midstream"];

impl Lab {
    /// The one session of a protocol between these ends, in which this much data went each way at least; none of its
    /// packets may have been denied, and no packet at all for being outside a connection.
    ///
    /// # Errors
    /// What of that does not hold.
    pub fn unhindered(&self, protocol: &str, client: SocketAddr, server: SocketAddr, data: [u64; 2]) -> Result<Value> {
        let session = self.session(protocol, client.port())?;
        for (role, end) in [("client", client), ("server", server)] {
            expect(&session, &format!("/{role}/address"), end.ip().to_string())?;
            expect(&session, &format!("/{role}/port"), end.port())?;
        }
        let counted = traffic(&session)?;
        for (counted, sent) in counted.into_iter().zip(data) {
            ensure!(counted.bytes >= sent, "{sent} bytes of data were sent: {session:#}");
        }
        let denied = self.denied(&["--proto", protocol, "--port", &client.port().to_string()])?;
        ensure!(denied.is_empty(), "packets of {protocol} {client} - {server} were denied: {denied:#?}");
        self.never_locked()?;
        Ok(session)
    }

    /// Fails if a TCP packet was denied for being outside its connection.
    ///
    /// # Errors
    /// When one was.
    pub fn never_locked(&self) -> Result<()> {
        let stats = self.stats()?;
        for reason in NEVER {
            let packets = stats["reasons"][reason].as_u64().unwrap_or(0);
            ensure!(packets == 0, "{packets} packets were denied for {reason}: {:#?}", self.denied(&[]));
        }
        Ok(())
    }

    /// The flows denied lately that pass these filters.
    ///
    /// # Errors
    /// When msegctl fails, for another reason than that there are none.
    pub fn denied(&self, filters: &[&str]) -> Result<Vec<Value>> {
        let ran = self.run("msegctl", &[&["-j", "denied", "list"], filters].concat())?;
        // Exit code 1 also means that nothing matched.
        let ran = if ran.status.code() == Some(1) { ran } else { ran.ok()? };
        list(&ran.json()?, "mseg.denied-list/1", "denied")
    }

    /// How many packets had this reason so far.
    ///
    /// # Errors
    /// When msegctl fails.
    pub fn reason(&self, reason: &str) -> Result<u64> {
        Ok(self.stats()?["reasons"][reason].as_u64().unwrap_or(0))
    }
}
