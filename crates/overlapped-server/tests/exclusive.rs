//! The server on io_uring. Where that is refused these tests say so, and only what needs no ring is
//! tested.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};

use overlapped::{CompletionPort, Engine};
use support::{PROGRAM, Random, check_echo, finish, reset, serve, serve_silently};

fn is_refused() -> bool {
    let port = CompletionPort::<(), ()>::builder()
        .engine(Engine::Uring)
        .build();
    if let Err(error) = &port {
        eprintln!("NOT TESTED, since io_uring is refused here: {error}");
    }
    port.is_err()
}

/// Runs it with something that it must refuse, and returns the one line it says.
fn refused(args: &[&str], engine: Option<&str>) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]).args(args);
    if let Some(engine) = engine {
        command.env("OVERLAPPED_ENGINE", engine);
    }
    let output = command.output().expect("the program can be started");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn everything_comes_back_and_then_the_end() {
    if is_refused() {
        return;
    }
    let server = serve_silently(&["--mode", "echo", "--engine", "uring"]);
    assert!(
        server
            .wait_for_log("listening")
            .contains("engine io_uring (")
    );
    let clients: Vec<_> = (0..60)
        .map(|seed| {
            let mut client = server.connect();
            std::thread::spawn(move || {
                let mut random = Random::new(seed);
                // From less than a buffer to bulk.
                let length = [100, 5_000, 60_000, 800_000][seed as usize % 4];
                let bytes = random.bytes(length);
                let mut back = client.try_clone().unwrap();
                let reader = std::thread::spawn(move || {
                    let mut all = Vec::new();
                    back.read_to_end(&mut all).unwrap();
                    all
                });
                support::send_in_pieces(&mut client, &bytes, &mut random);
                client.shutdown(Shutdown::Write).unwrap();
                assert!(reader.join().unwrap() == bytes);
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let ended = server.terminate();
    ended.assert_fine();
    assert!(ended.line("served").contains("served 60 connections"));
}

#[test]
fn what_is_received_is_printed_also_after_a_signal() {
    if is_refused() {
        return;
    }
    let mut server = serve(&["-v", "--engine", "uring"]);
    let output = server.collect();
    let mut client = server.connect();
    server.wait_for_log("connection 1 from");
    let bytes = vec![b'x'; 1_000_000];
    client.write_all(&bytes).unwrap();
    server.signal(rustix::process::Signal::TERM);
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert!(back.is_empty(), "disconnected in order");
    let ended = server.wait();
    ended.assert_fine();
    assert!(output.join().unwrap() == bytes);
}

#[test]
fn many_connections_come_go_and_reset() {
    if is_refused() {
        return;
    }
    let server = serve_silently(&["--mode", "echo", "--engine", "uring"]);
    let mut witness = server.connect();
    for round in 0..400 {
        let mut client = server.connect();
        match round % 4 {
            0 => drop(client),
            1 => reset(client),
            2 => {
                client.write_all(b"and is gone").unwrap();
                reset(client);
            }
            _ => {
                check_echo(&mut client, format!("round {round}").as_bytes());
                assert_eq!(finish(&mut client), b"");
            }
        }
        check_echo(&mut witness, format!("{round}").as_bytes());
    }
    drop(witness);
    server.terminate().assert_fine();
}

#[test]
fn each_port_has_a_ring_of_its_own() {
    if is_refused() {
        return;
    }
    let server = serve_silently(&["--mode", "echo", "--engine", "uring", "--ports", "2"]);
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        check_echo(client, format!("client {index}").as_bytes());
    }
    for client in &mut clients {
        assert_eq!(finish(client), b"");
    }
    let ended = server.terminate();
    ended.assert_fine();
    let line = ended.line("listening");
    assert!(
        line.contains("ports 2") && line.contains("workers 1"),
        "{line}"
    );
}

#[test]
fn a_second_worker_is_refused() {
    for engine in ["uring", "uring-or-epoll"] {
        let text = refused(&["--engine", engine, "--workers", "2"], None);
        assert!(text.contains("each port has one worker"), "{text}");
        assert!(text.contains("--ports"), "{text}");
    }
}

#[test]
fn the_environment_names_an_engine() {
    for (name, engine) in [
        ("epoll", "engine epoll ("),
        ("uring", "engine io_uring ("),
        ("uring-or-epoll", "engine "),
    ] {
        if name == "uring" && is_refused() {
            continue;
        }
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0", "--mode", "echo"]);
        command.env("OVERLAPPED_ENGINE", name).stdout(Stdio::null());
        let server = support::start(command);
        check_echo(&mut server.connect(), b"hello");
        let ended = server.terminate();
        ended.assert_fine();
        assert!(ended.line("listening").contains(engine));
    }
    let text = refused(&[], Some("iocp"));
    assert!(text.contains("OVERLAPPED_ENGINE is \"iocp\""), "{text}");
    assert!(text.contains("uring-or-epoll"), "{text}");
    // The option has precedence.
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--engine", "epoll"]);
    command
        .env("OVERLAPPED_ENGINE", "iocp")
        .stdout(Stdio::null());
    support::start(command).terminate().assert_fine();
}
