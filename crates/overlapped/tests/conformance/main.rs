//! What a completion port promises, clause by clause (see `docs/completion-port.md`), on every
//! engine.
//!
//! A test that can run on any engine is written against [`world::World`] and listed in
//! `on_every_engine!`; tests that need several threads run on the system's engine only, because
//! the simulation is driven by one.
//!
//! No test asserts elapsed time. Something that must happen is awaited under a long watchdog,
//! something that must not is shown by the state of the queue.

mod wine;
mod world;

mod ax_accept;
mod cc_concurrency;
mod ce_connect;
mod cx_cancel_close;
mod dx_disconnect;
mod gq_get;
mod io_datagrams;
mod io_files;
#[cfg(target_os = "linux")]
mod io_local;
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
        #[cfg(all(feature = "sim", target_os = "linux"))]
        mod on_sim {
            $(#[test] fn $test() { $crate::world::Sim::with_seeds(|world| super::$test(world)); })*
        }
    };
}

pub(crate) use on_every_engine;
