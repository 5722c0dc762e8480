//! The port on a simulated network, over many seeds: what a completion port promises has to hold
//! whatever the network does.
//!
//! ```text
//! OVERLAPPED_SIM_SEEDS=10000 cargo test -p overlapped --test sim     more seeds than usual
//! OVERLAPPED_SIM_SEED=17 cargo test -p overlapped --test sim echo    one seed, with its trace
//! ```
//!
//! Every scenario but one runs on one thread, which plays all workers, and takes all its decisions
//! from the seed: so a failure is a number. The modules are named for what they try; the clauses
//! that they check stand in them.

#![cfg(target_os = "linux")]

mod accept;
mod close;
mod connect;
mod echo;
mod port_end;
mod storm;
mod threads;
mod timers;
mod world;
