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
//!   it calls again, exits, moves to another port or blocks. While as many are active
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
//!   it finds that nobody took a packet since it last looked, that one is still queued which was
//!   then, or that nobody has been in the engine, although there may be work and room for a worker,
//!   it takes over. While nothing moves it disarms, and the next leader that leaves arms one again.
//!   Where the engine has an alarm, and packets are few or leaders often absent, it is the *standby*
//!   instead: it sleeps by that alarm, which a leader that leaves sets and one that comes back stops,
//!   and watches when it goes off. So a packet now and then wakes nobody but the leader.
//!   Where leaders often stay away for longer than [`ABSENCE`], whether they block or compute,
//!   somebody takes over the engine: the standby, when the alarm says that the leader does, or else
//!   somebody else at once.
//!
//! Every rule of both policies is in one function, `State::settle`; the watcher is one function,
//! `State::tick`.
//!
//! # When a worker blocks
//!
//! One that says so with [`Queue::block`] gives its place away at once (CC-8). Of others the system
//! knows it, and the queue asks through a [`Presence`] that comes with each binding. It asks only
//! where the answer changes something: at an admission that finds the limit reached while packets
//! wait (short handlers share a look), at the watcher's ticks while packets wait or nobody is in
//! the engine, and when a leader leaves at the limit where leaders are often absent (below). While nobody is short of a
//! place, nobody looks.
//!
//! A wait that is over in a moment is no reason to wake anybody. So a worker is taken for blocked
//! when it has been in one wait for [`PATIENCE`]: by what the presence says of when that began, or else
//! when two looks that far apart find it in *the same* one. A watcher that has found one which is not that
//! long yet looks again after no more than this. Then the worker does not count, and its place
//! is taken as if it had said so. It counts again, whatever the limit, from the moment at which it
//! is seen running (CC-9): when it calls `get`, pushes a packet, or a look finds it running, which
//! every admission makes sure of as long as somebody is taken for blocked. What does not count as a
//! block is up to the presence, but for three cases that the queue knows: nobody inside `get` is asked
//! about, nor who has been handed a packet and sleeps until its wake arrives, nor who waits for one of
//! the port's own locks (`held_up.rs`).
//!
//! Where workers block often they do so again, so after a few that were found within [`WATCHFUL`] the watcher
//! keeps to its shortest sleep. Where a look costs something, those that are known to block are asked
//! every [`TICK_MAX`] only: usually the first that is heard of them is that they are back.
//!
//! # When a leader stays away
//!
//! A handler that takes longer than [`ABSENCE`], whether it blocks or computes, is an *absence* of the
//! leader that left the engine for it. It is counted when that worker comes back, where the clock is read
//! anyway. Where there is one every [`OFTEN`] or more, economy too has somebody take over the engine
//! from a leader that leaves it: otherwise each of them would be a time without anybody there, until
//! the watcher has seen it. If the engine has an alarm, the watcher stands by instead, and it is set to so
//! short a time that handlers which return at once wake nobody, and those that do not are hardly missed.
//!
//! For a worker without a presence there is the *rescue release*: one that has been away for
//! longer than [`Config::rescue_after`], while others wait at the limit, is presumed blocked and not
//! counted until it comes back, although it may compute.
//!
//! # What the queue does not know
//!
//! Sockets, operations, system calls. Packets are opaque values in a [`Fifo`] that the caller
//! supplies (intrusive and free of allocation in the real port, a `VecDeque` in tests), the engine
//! is a few methods, a presence one, and the only clock is the engine's. There is no unsafe code in this crate.

#![forbid(unsafe_code)]

mod driver;
mod engine;
mod fifo;
mod held_up;
#[cfg(all(test, not(loom)))]
mod model_tests;
mod parker;
mod policy;
mod presence;
mod state;
mod stats;
mod sync;
mod waits;

pub use driver::{Alert, Binding, Member, Queue};
pub use engine::{Engine, Signals};
pub use fifo::Fifo;
pub use held_up::{held_up, lock};
pub use policy::{
    ABSENCE, BACKLOG, Config, OFTEN, PATIENCE, QUIET, TICK_MAX, TICK_MIN, WATCHFUL, WakePolicy,
};
pub use presence::{Presence, ThreadWait};
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
