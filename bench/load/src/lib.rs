//! What the load generator shares with the driver that runs it: the report it prints, the byte
//! pattern it sends and the generator of pseudo-random numbers behind both.

pub mod job;
pub mod pattern;
pub mod prng;
pub mod report;
pub mod stats;
