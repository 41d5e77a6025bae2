//! The harness of the tests that need a real kernel, and of the demo.
//!
//! Everything a test makes lives in network and mount namespaces that only its own file descriptors keep alive: a test
//! killed at any instant leaves no interface, no pin, no mount and no program behind.

pub mod bed;
pub mod blast;
pub mod bpf;
pub mod bpffs;
pub mod capture;
pub mod daemon;
pub mod dhcp;
pub mod documents;
pub mod event;
pub mod flood;
pub mod flows;
pub mod frames;
pub mod health;
pub mod hook;
pub mod interface;
pub mod lab;
pub mod middlebox;
pub mod namespace;
pub mod netlink;
pub mod network;
pub mod offload;
pub mod packet;
pub mod packets;
pub mod privilege;
pub mod process;
pub mod programs;
pub mod ring;
pub mod run_time;
pub mod stepper;
pub mod topology;
pub mod traffic;
pub mod verdicts;
pub mod wait;
