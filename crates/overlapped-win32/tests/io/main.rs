//! The clauses of the specification over the C ABI: what ports, sockets and files do.
//!
//! Each test names the clause that it checks. The other ends are std's sockets.
#![cfg(target_os = "linux")]

mod ap_routines;
mod ax_accept;
mod ce_connect;
mod cx_cancel_close;
mod dx_disconnect;
mod gq_get;
mod io_files;
mod io_sockets;
mod pk_packet;
mod po_port;
mod sk_modes;
mod stress;
mod winsock;
mod world;
