//! The words of documents and filters. They are those of the policy language where it has them.

use mseg_ebpf::abi::session;

/// Defines a field-less enum whose variants have names: `ALL`, `name`, `Display`, `FromStr`, serde and JSON Schema.
macro_rules! names {
    ($(#[$meta:meta])+ $vis:vis enum $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
        $vis enum $name {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in documents and on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|v| v.name()).collect();
                    format!("expected one of {}", names.join(", "))
                })
            }
        }
    };
}
pub(crate) use names;

names! {
    /// The state every protocol has.
    pub enum State {
        /// Packets in one direction only, or a TCP handshake under way.
        New = "new",
        /// Packets in both directions; TCP: the handshake is complete.
        Established = "established",
        /// TCP: a FIN was seen.
        Closing = "closing",
        /// TCP: both FINs and their acknowledgements, or a reset.
        Closed = "closed",
    }
}

names! {
    /// The TCP sub-state, by nf_conntrack's names.
    pub enum TcpState {
        /// The client's SYN was seen.
        SynSent = "syn-sent",
        /// The server's SYN+ACK was seen.
        SynRecv = "syn-recv",
        /// The handshake is complete.
        Established = "established",
        /// The client's FIN was seen.
        FinWait = "fin-wait",
        /// The server's FIN was seen.
        CloseWait = "close-wait",
        /// Both FINs were seen.
        LastAck = "last-ack",
        /// The last FIN was acknowledged.
        TimeWait = "time-wait",
        /// A reset was seen.
        Close = "close",
    }
}

names! {
    /// What a session's packets get.
    pub enum Verdict {
        /// They pass.
        Allow = "allow",
        /// They are dropped; in observe mode they are reported and pass.
        Deny = "deny",
    }
}

names! {
    /// Which way the first packet went, as the protected side sees it.
    pub enum Direction {
        /// To the protected side.
        In = "in",
        /// From the protected side.
        Out = "out",
    }
}

impl State {
    /// The state as stored; `None` for no session.
    pub const fn of(state: session::SessionState) -> Option<Self> {
        Some(match state {
            session::SessionState::None => return None,
            session::SessionState::New => Self::New,
            session::SessionState::Established => Self::Established,
            session::SessionState::Closing => Self::Closing,
            session::SessionState::Closed => Self::Closed,
        })
    }
}

impl TcpState {
    /// The sub-state as stored; `None` for what is not TCP.
    pub const fn of(state: session::TcpState) -> Option<Self> {
        Some(match state {
            session::TcpState::None => return None,
            session::TcpState::SynSent => Self::SynSent,
            session::TcpState::SynRecv => Self::SynRecv,
            session::TcpState::Established => Self::Established,
            session::TcpState::FinWait => Self::FinWait,
            session::TcpState::CloseWait => Self::CloseWait,
            session::TcpState::LastAck => Self::LastAck,
            session::TcpState::TimeWait => Self::TimeWait,
            session::TcpState::Close => Self::Close,
        })
    }
}

impl Verdict {
    /// From `FLAG_*` of a session.
    pub const fn of_flags(flags: u8) -> Self {
        if flags & session::FLAG_DENIED != 0 { Self::Deny } else { Self::Allow }
    }
}

impl Direction {
    /// From `FLAG_*` of a session or denial.
    pub const fn of_flags(flags: u8) -> Self {
        if flags & session::FLAG_OUT != 0 { Self::Out } else { Self::In }
    }
}
