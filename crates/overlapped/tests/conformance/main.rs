//! What a completion port promises, clause by clause (see `docs/completion-port.md`), on every
//! engine.
//!
//! A test that can run on any engine is written against [`world::World`] and listed in
//! `on_every_engine!`; tests in which several threads take packets run on the system's ordinary
//! engine only, because the simulation and an exclusive port are driven by one.
//!
//! The environment variable `OVERLAPPED_ENGINE` chooses one engine: with `epoll` or `uring` all tests
//! that can run on it, with `sim` those that run on the simulation; the others pass and say so.
//!
//! No test asserts elapsed time. Something that must happen is awaited under a long watchdog,
//! something that must not is shown by the state of the queue.

mod wine;
mod worker;
mod world;

mod ax_accept;
#[cfg(target_os = "linux")]
mod cc_blocked;
mod cc_concurrency;
mod ce_connect;
mod cx_cancel_close;
mod dx_disconnect;
mod gq_get;
mod io_datagrams;
#[cfg(target_os = "linux")]
mod io_descriptors;
mod io_files;
#[cfg(target_os = "linux")]
mod io_local;
mod io_pipes;
#[cfg(target_os = "linux")]
mod io_ready;
mod io_transfer;
mod pk_packet;
mod po_port;
mod pq_post;
mod rp_pool;
mod sk_direct;
mod tm_time;

/// Makes a test of each function for each engine.
macro_rules! on_every_engine {
    ($($(#[$only:meta])? $test:ident),* $(,)?) => {
        mod on_system {
            $($(#[$only])? #[test] fn $test() {
                if $crate::wine::obeys(stringify!($test)) {
                    super::$test(&$crate::world::System::new());
                }
            })*
        }
        #[cfg(target_os = "linux")]
        mod on_ring {
            $(#[test] fn $test() {
                if $crate::world::is_chosen("uring") {
                    super::$test(&$crate::world::System::exclusive());
                }
            })*
        }
        #[cfg(all(feature = "sim", target_os = "linux"))]
        mod on_sim {
            $(#[test] fn $test() {
                if $crate::world::is_chosen("sim") {
                    $crate::world::Sim::with_seeds(|world| super::$test(world));
                }
            })*
        }
    };
}

pub(crate) use on_every_engine;
