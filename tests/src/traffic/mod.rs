//! Real traffic, driven from both ends by one thread: sockets stay in the namespace they were made in.

pub mod icmp;
pub mod tcp;
pub mod udp;
