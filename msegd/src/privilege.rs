//! Giving up every privilege. What is open by then is all that is needed: the kernel asks for none to read a map
//! through a descriptor.

use caps::{CapSet, errors::CapsError};
use mseg::error::{Error, Result};
use nix::sys::prctl;
use tracing::debug;

/// Drops every capability for good. The user stays, and with it the right to its own files.
///
/// # Errors
/// When the kernel refuses, other than for lack of privilege.
pub(crate) fn drop_all() -> Result<()> {
    prctl::set_no_new_privs().map_err(|e| Error::system("give up privileges", &e.into()))?;
    // The bounding set first, for which a capability is needed; who has none cannot gain one either.
    if let Err(error) = caps::clear(None, CapSet::Bounding) {
        debug!("the bounding set stays: {error}");
    }
    let failed = |e: CapsError| Error::failed(format!("cannot drop the capabilities: {e}"));
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(failed)?;
    }
    Ok(())
}
