//! Two systems on a simulated wire, on virtual time.

mod live;
mod members;
mod pair;
mod random;
mod work;
