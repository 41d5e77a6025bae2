//! The parser on the host: what it reads, what it refuses, and that its two ways agree.

mod damaged;
mod discovery;
mod fragments;
mod frames;
mod malformed;
mod reads;
