//! The daemon tier: the binary that ships, on its real socket, with ports of memory and a clock that
//! stands. No privileges; what needs another user is tried as root only and says so.
//!
//! A doc comment names the rows of the feature map that a test proves.

mod bonds;
mod errors;
mod frames;
mod health;
mod lab;
mod life;
mod limits;
mod process;
mod roles;
mod streams;
mod transcripts;
mod workers;
