//! The queue of a completion port: packets, waiting threads and a concurrency value.
//!
//! # How it works
//!
//! A completion port is one object on which many threads wait. Three things make it more than a
//! channel, and all three live here:
//!
//! * **Packets leave first in, first out; threads leave last in, first out.** The thread that
//!   began to wait last gets the next packet, because its stack and caches are the warmest and
//!   the others can stay asleep for ever if there is not enough work for them (CC-2, PK-2).
//! * **The concurrency value.** A thread that has come back from [`Queue::get`] is *active* until
//!   it calls again, exits, moves to another port or says that it blocks. While as many are active
//!   as the concurrency value allows, nobody else is released, although packets are queued (CC-4
//!   to CC-7).
//! * **One of the waiting threads waits in the engine.** It is called the *leader*: it sits in the
//!   system call that reports finished I/O, so there is no reactor thread that would have to hand
//!   every packet over. The others, the *followers*, sleep in a parker of their own.
//!
//! All state is in one structure, `State` in `state.rs`, behind one mutex. `State` is a plain machine
//! without threads: a call says what happened (a thread arrived, a packet came, a sleeper awoke)
//! and the answer says what that thread does next: take a packet, lead, sleep, or go home
//! empty-handed. [`Queue`] is the driver around it: it locks, asks, unlocks, wakes whom the state
//! named, and sleeps or waits in the engine. So the rules can be run against a reference model
//! with no thread at all, and what remains to be proved with threads (no lost wake-up, no lost
//! packet in the race of a packet with a timeout) is small enough for loom.
//!
//! # Whom to wake, and when
//!
//! Waking a thread that sleeps on another processor costs its waker as much as several requests,
//! so the question is not how to wake but when not to. Two policies are offered:
//!
//! * [`WakePolicy::Windows`] is the literal rule: a packet that arrives while a thread waits and
//!   fewer than the limit are active goes straight into that thread's slot, and somebody always
//!   takes over the engine when the leader leaves it with work.
//! * [`WakePolicy::Economy`] wakes for packets from outside as the literal rule does, but lets a
//!   worker that finds several packets at the engine, or posts to itself, go on alone: it is
//!   coming back in a moment, and a second thread would cost more than it brings. Another thread
//!   is woken only when the backlog is worth it (packets times the mean handler time exceeds
//!   [`BACKLOG`]). So that a handler that computes for long strands nobody, one sleeper is the
//!   *watcher*: it sleeps with a time-out that grows from [`TICK_MIN`] to [`TICK_MAX`], and when
//!   it finds that nobody took a packet since it last looked, or nobody has been in the engine,
//!   although there may be work and room for a worker, it takes over. While nothing moves it disarms, and the next leader that leaves
//!   arms one again.
//!
//! Every rule of both policies is in one function, `State::settle`; the watcher is one function,
//! `State::tick`.
//!
//! # When a worker does not come back
//!
//! A worker that blocks says so with [`Queue::block`] and its place is given away at once (CC-8).
//! For one that blocks without a word there is the *rescue release*: a worker that has been away
//! for longer than [`Config::rescue_after`], while others wait at the limit, is presumed blocked
//! and no longer counted until it comes back. This is where the detection of blocked threads will
//! feed in: it only has to mark workers released earlier and with certainty.
//!
//! # What the queue does not know
//!
//! Sockets, operations, system calls. Packets are opaque values in a [`Fifo`] that the caller
//! supplies (intrusive and free of allocation in the real port, a `VecDeque` in tests), the engine
//! is three methods, and the only clock is the engine's. There is no unsafe code in this crate.

#![forbid(unsafe_code)]

mod driver;
mod engine;
mod fifo;
#[cfg(all(test, not(loom)))]
mod model_tests;
mod parker;
mod policy;
mod state;
mod stats;
mod sync;
mod waits;

pub use driver::{Binding, Member, Queue};
pub use engine::Engine;
pub use fifo::Fifo;
pub use policy::{BACKLOG, Config, QUIET, TICK_MAX, TICK_MIN, WakePolicy};
pub use state::Deadline;
pub use stats::Stats;
pub use waits::WaitHistogram;

/// Why [`Queue::get`] came back without a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing could be taken within the time given. The queue may still hold packets, if as many
    /// threads as the concurrency value allows are active (CC-6).
    TimedOut,
    /// The queue was closed; it will never deliver another packet (CX-9).
    Closed,
}
