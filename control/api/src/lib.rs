//! `vswitch-api`: what the clients of `vswitchd` and `vswitchd` itself share.
//!
//! - [`config`]: the desired configuration, one table per named object, as TOML in files
//!   and as JSON of the same schema on the socket; with [`config::check()`], which finds
//!   everything that is wrong with it and can be known without looking at the machine.
//! - [`request`]: every method of the control socket as one enum, with its role and reply type;
//!   [`types`], what they answer; [`error`], what they answer when they cannot.
//! - [`interfaces`]: the same as text, the contract that introspection serves.
//! - [`varlink`]: the wire, cut into messages without ever holding more than a limit.
//! - [`client`]: a blocking client over it; [`descriptors`], which go with messages.
//! - [`text`]: near-miss suggestions for names, used in every "there is no …" error.
//!
//! Guarantees: no type of the data plane is named here, so a client does not link it; bytes
//! from files and sockets give errors, never panics; nothing here grows beyond a documented
//! limit. Everything is plain data and pure functions, except the blocking client and the
//! two functions that read configuration files; call them from any thread that may block.
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
pub mod descriptors;
pub mod error;
pub mod hex;
pub mod interfaces;
pub mod request;
pub mod text;
pub mod time;
pub mod types;
pub mod varlink;

pub use error::ApiError;
pub use request::{Answers, Method, Request, Role};
