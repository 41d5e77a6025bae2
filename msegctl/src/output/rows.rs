//! Where the rows of a listing come from: they are handed over one by one, never all held.

use std::ops::ControlFlow;

use mseg::error::Error;

use crate::stop::Stop;

/// Hands each row to the closure until that breaks.
pub(crate) type Source<'a, R> = Box<dyn FnOnce(&mut dyn FnMut(R) -> ControlFlow<()>) -> Result<(), Error> + 'a>;

/// Runs `each` for each row; the first failure on either side ends it.
pub(super) fn for_each<R>(source: Source<'_, R>, mut each: impl FnMut(R) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut failed = None;
    source(&mut |row| match each(row) {
        Ok(()) => ControlFlow::Continue(()),
        Err(stop) => {
            failed = Some(stop);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}
