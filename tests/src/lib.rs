//! The tests of mseg.
