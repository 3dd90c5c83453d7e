//! Two systems on a simulated wire, on virtual time.

mod live;
mod pair;
mod random;
mod work;
