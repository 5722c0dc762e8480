//! Limits: descriptors, connections, idle time.

mod support;

use std::io::{ErrorKind, Read, Write};
#[cfg(unix)]
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{check_echo, serve_silently};

/// Windows has no such limit.
#[cfg(unix)]
#[test]
fn without_descriptors_accepting_pauses_and_recovers() {
    let mut command = Command::new("sh");
    let script = format!(
        "ulimit -n 40; exec '{}' --listen 127.0.0.1:0 --mode echo",
        support::PROGRAM
    );
    command.args(["-c", &script]).stdout(Stdio::null());
    let server = support::start(command);
    assert!(server.wait_for_log("listening").contains("descriptors 40"));

    // More clients than there are descriptors; all of them have something to say.
    let mut clients: Vec<_> = (0..100u8).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.write_all(&[index as u8]).unwrap();
    }
    server.wait_for_log("cannot accept");
    // Each is served in the end, when those before it have gone.
    for (index, mut client) in clients.into_iter().enumerate() {
        let mut echo = [0];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(echo[0], index as u8);
    }
    server.wait_for_log("accepting works again");
    let failures = server.count_in_log("cannot accept");
    assert!(failures <= 10, "told {failures} times");
    let ended = server.terminate();
    ended.assert_fine();
    assert!(ended.line("served").contains("served 100 connections"));
}

#[test]
fn the_number_of_connections_has_a_limit() {
    // One worker, so that connections get their places in the order in which they were accepted.
    let args = ["--mode", "echo", "--max-connections", "3", "--workers", "1"];
    let server = serve_silently(&args);
    let mut clients: Vec<_> = (0..30u8).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.write_all(&[index as u8]).unwrap();
    }
    let mut echo = [0];
    for client in &mut clients[..3] {
        client.read_exact(&mut echo).unwrap();
    }
    server.wait_for_log("3 connections open, which is the limit");
    let fourth = &mut clients[3];
    fourth
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let error = fourth.read(&mut echo).expect_err("it is not its turn");
    // Windows says it in the latter way.
    assert!(matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    fourth.set_read_timeout(Some(support::WATCHDOG)).unwrap();

    let mut rest = clients.split_off(3);
    drop(clients);
    for (index, mut client) in rest.drain(..).enumerate() {
        client.read_exact(&mut echo).unwrap();
        assert_eq!(usize::from(echo[0]), index + 3);
    }
    let ended = server.terminate();
    ended.assert_fine();
    let summary = ended.line("served");
    assert!(
        summary.contains("served 30 connections (at most 3 at once)"),
        "{summary}"
    );
}

#[test]
fn clients_that_give_up_while_they_wait_for_a_place_take_none() {
    let server = serve_silently(&["--mode", "echo", "--max-connections", "1"]);
    let mut first = server.connect();
    check_echo(&mut first, b"first");
    for _ in 0..40 {
        support::reset(server.connect());
    }
    let mut last = server.connect();
    drop(first);
    check_echo(&mut last, b"last");
    drop(last);
    server.terminate().assert_fine();
}

#[test]
fn a_silent_client_is_disconnected() {
    for mode in ["print", "echo", "discard"] {
        let server = serve_silently(&["--mode", mode, "--idle-timeout", "300ms", "-v"]);
        let mut client = server.connect();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        server.wait_for_log("it was idle for too long");
        server.terminate().assert_fine();
    }
}

#[test]
fn a_client_that_does_not_read_is_idle_too() {
    let server = serve_silently(&["--mode", "echo", "--idle-timeout", "500ms", "-v"]);
    let mut client = server.connect();
    // Until it is reset.
    while client.write_all(&[b'x'; 65536]).is_ok() {}
    server.wait_for_log("it was idle for too long");
    server.terminate().assert_fine();
}

#[test]
fn who_waits_for_our_standard_output_is_not_idle() {
    let mut server = support::serve(&["--idle-timeout", "100ms", "-v"]);
    let mut client = server.connect();
    let bytes = vec![b'x'; 1 << 20];
    let sender = std::thread::spawn(move || {
        client.write_all(&bytes).unwrap();
        support::finish(&mut client);
    });
    // Many idle time-outs long nobody reads.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.count_in_log("idle"), 0);
    let output = server.collect();
    sender.join().unwrap();
    server.terminate().assert_fine();
    assert_eq!(output.join().unwrap().len(), 1 << 20);
}
