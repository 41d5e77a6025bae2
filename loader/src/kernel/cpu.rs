//! How many copies a per-CPU map has.

use crate::error::{Error, Result};

/// The number of *possible* CPUs: the kernel copies that many values, also of CPUs that are off.
pub(crate) fn possible() -> Result<usize> {
    aya::util::nr_cpus().map_err(|(path, error)| Error::system(format_args!("read {path}"), &error))
}
