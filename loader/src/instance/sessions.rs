//! SESSIONS, DATAGRAMS, HALF_OPEN, CLOSING, CLOSED and DENIED.

use std::ops::ControlFlow;

use mseg_ebpf::{
    abi::{
        denied::Denied,
        fragment::{FragmentKey, Fragmented},
        map,
        session::{Session, SessionKey, SessionState},
    },
    packet::protocol,
};
use zerocopy::{FromBytes, TryFromBytes};

use super::Instance;
use crate::error::Result;

/// One of the session tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// TCP sessions whose client has shown that it hears the server.
    Sessions,
    /// Those of other protocols.
    Datagrams,
    /// Sessions before that.
    HalfOpen,
    /// TCP sessions of which a FIN was seen.
    Closing,
    /// TCP sessions that have closed.
    Closed,
}

impl Table {
    /// All, half-open ones before those that they are promoted to: one that is promoted while they are read in this order is
    /// not missed.
    pub const ALL: [Self; 5] = [Self::Closed, Self::Closing, Self::HalfOpen, Self::Sessions, Self::Datagrams];

    /// Where a session of an IP protocol is that is not half-open.
    pub(crate) fn of_session(ip_protocol: u8, session: &Session) -> Self {
        match session.state {
            _ if ip_protocol != protocol::TCP => Self::Datagrams,
            SessionState::Closing => Self::Closing,
            SessionState::Closed => Self::Closed,
            _ => Self::Sessions,
        }
    }

    /// Where a session of an IP protocol goes from HALF_OPEN, and from there.
    const fn in_turn(ip_protocol: u8) -> &'static [Self] {
        if ip_protocol == protocol::TCP { &[Self::Sessions, Self::Closing, Self::Closed] } else { &[Self::Datagrams] }
    }

    /// The map's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sessions => map::SESSIONS,
            Self::Datagrams => map::DATAGRAMS,
            Self::HalfOpen => map::HALF_OPEN,
            Self::Closing => map::CLOSING,
            Self::Closed => map::CLOSED,
        }
    }
}

impl Instance {
    /// Walks a table in bounded memory, until `visit` breaks. No session is visited twice, but one that is promoted
    /// meanwhile can be seen in both tables, and one that ends in none. Expired sessions are visited, too.
    pub fn for_each_session(
        &self,
        table: Table,
        visit: &mut dyn FnMut(&SessionKey, &Session) -> ControlFlow<()>,
    ) -> Result<()> {
        self.map(table.name())?.for_each(&mut |key: SessionKey, session: Session| visit(&key, &session))
    }

    /// Walks DENIED, until `visit` breaks.
    pub fn for_each_denied(&self, visit: &mut dyn FnMut(&SessionKey, &Denied) -> ControlFlow<()>) -> Result<()> {
        self.map(map::DENIED)?.for_each(&mut |key: SessionKey, denied: Denied| visit(&key, &denied))
    }

    /// Looks a session up in its tables. While a new connection is opened beside one that goes on, it is the latter.
    pub fn session(&self, key: &SessionKey) -> Result<Option<(Table, Session)>> {
        let find = |table: Table| -> Result<Option<(Table, Session)>> {
            Ok(self.map(table.name())?.get(key)?.map(|session| (table, session)))
        };
        // In this order none is missed: it is put into the next table before it is taken out of the last.
        let half_open = find(Table::HalfOpen)?;
        for table in Table::in_turn(key.protocol) {
            if let Some(found) = find(*table)? {
                return Ok(Some(found));
            }
        }
        Ok(half_open)
    }

    /// Adopts a session; `false` if it is there already.
    pub(crate) fn adopt_session(&self, key: &SessionKey, session: &Session) -> Result<bool> {
        self.require_write()?;
        let table = Table::of_session(key.protocol, session);
        let added = self.map(table.name())?.put_new(key, session)?;
        if added {
            self.count_adopted(table)?;
        }
        Ok(added)
    }

    /// Deletes a session from its tables; `false` if it was in none.
    pub fn delete_session(&self, key: &SessionKey) -> Result<bool> {
        self.require_write()?;
        let mut deleted = false;
        for table in [&[Table::HalfOpen], Table::in_turn(key.protocol)].concat() {
            deleted |= self.delete_session_from(table, key)?;
        }
        Ok(deleted)
    }

    /// Deletes a session from one table; `false` if it was not there.
    pub fn delete_session_from(&self, table: Table, key: &SessionKey) -> Result<bool> {
        self.require_write()?;
        let deleted = self.map(table.name())?.delete(key)?;
        if deleted {
            self.count_deleted(table)?;
        }
        Ok(deleted)
    }

    /// Forgets all that was learnt in a zone, so that it lets nothing pass when another interface gets the zone.
    pub(crate) fn forget_zone(&self, zone: u16) -> Result<()> {
        self.require_write()?;
        for table in Table::ALL {
            for key in self.keys::<SessionKey, Session>(table.name(), |key| key.zone == zone)? {
                self.delete_session_from(table, &key)?;
            }
        }
        for key in self.keys::<SessionKey, Denied>(map::DENIED, |key| key.zone == zone)? {
            self.delete_denied(&key)?;
        }
        for key in self.keys::<FragmentKey, Fragmented>(map::FRAGMENTS, |key| key.zone == zone)? {
            self.map(map::FRAGMENTS)?.delete(&key)?;
        }
        Ok(())
    }

    /// The keys of a map that are of interest.
    fn keys<K: FromBytes, V: TryFromBytes>(&self, map: &str, is: impl Fn(&K) -> bool) -> Result<Vec<K>> {
        let mut keys = Vec::new();
        self.map(map)?.for_each(&mut |key: K, _: V| {
            keys.extend(is(&key).then_some(key));
            ControlFlow::Continue(())
        })?;
        Ok(keys)
    }

    /// Forgets a denial; `false` if it was not there.
    pub fn delete_denied(&self, key: &SessionKey) -> Result<bool> {
        self.require_write()?;
        self.map(map::DENIED)?.delete(key)
    }
}
