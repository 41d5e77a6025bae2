//! Who opened a session that was picked up in mid-stream: that is but a guess, by its ports.

use crate::abi::{
    rule,
    session::{FLAG_CLIENT_IS_LOWER, FLAG_HALF_OPEN, Session, SessionKey, TURNED_AROUND},
};

/// The first port that most systems give to clients (`ip_local_port_range` in Documentation/networking/ip-sysctl.rst).
pub const EPHEMERAL: u16 = 32_768;

/// The ports of client and server.
#[inline(always)]
pub const fn ports(key: &SessionKey, session: &Session) -> (u16, u16) {
    let (lower, higher) = (u16::from_be_bytes(key.lower_port), u16::from_be_bytes(key.higher_port));
    if session.flags & FLAG_CLIENT_IS_LOWER != 0 { (lower, higher) } else { (higher, lower) }
}

/// Whether it is but a guess who opened an answered session: it was picked up, and its ports speak for the other side, or
/// it was turned around before.
#[inline(always)]
pub const fn is_guess(key: &SessionKey, session: &Session) -> bool {
    let (client, server) = ports(key, session);
    let no_rule = matches!(session.rule, rule::NONE | rule::DEFAULT_IN | rule::DEFAULT_OUT);
    session.is_guessed()
        && session.flags & FLAG_HALF_OPEN == 0
        && (client < server || (server >= EPHEMERAL && no_rule) || session.fins & TURNED_AROUND != 0)
}
