//! SESSIONS, HALF_OPEN and DENIED.

use std::ops::ControlFlow;

use mseg_ebpf::abi::{
    denied::Denied,
    map,
    session::{Session, SessionKey},
};

use super::Instance;
use crate::error::Result;

/// One of the two session tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Sessions whose client has shown that it hears the server.
    Sessions,
    /// Sessions before that.
    HalfOpen,
}

impl Table {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sessions, Self::HalfOpen];

    /// The map's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sessions => map::SESSIONS,
            Self::HalfOpen => map::HALF_OPEN,
        }
    }
}

impl Instance {
    /// Walks a table in bounded memory, until `visit` breaks. No session is visited twice, but one that is promoted
    /// meanwhile can be seen in both tables. Expired sessions are visited, too.
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

    /// Looks a session up in both tables. While a new connection is opened beside one that goes on, it is the latter.
    pub fn session(&self, key: &SessionKey) -> Result<Option<(Table, Session)>> {
        // In this order none is missed: promotion puts it into SESSIONS before it takes it out of HALF_OPEN.
        let half_open = self.map(Table::HalfOpen.name())?.get(key)?.map(|session| (Table::HalfOpen, session));
        let session = self.map(Table::Sessions.name())?.get(key)?.map(|session| (Table::Sessions, session));
        Ok(session.or(half_open))
    }

    /// Adds a session to SESSIONS; `false` if it is there already.
    pub(crate) fn add_session(&self, key: &SessionKey, session: &Session) -> Result<bool> {
        self.require_write()?;
        self.map(Table::Sessions.name())?.put_new(key, session)
    }

    /// Deletes a session from both tables; `false` if it was in neither.
    pub fn delete_session(&self, key: &SessionKey) -> Result<bool> {
        self.require_write()?;
        let half_open = self.delete_session_from(Table::HalfOpen, key)?;
        let session = self.delete_session_from(Table::Sessions, key)?;
        Ok(half_open || session)
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

    /// Forgets a denial; `false` if it was not there.
    pub fn delete_denied(&self, key: &SessionKey) -> Result<bool> {
        self.require_write()?;
        self.map(map::DENIED)?.delete(key)
    }
}
