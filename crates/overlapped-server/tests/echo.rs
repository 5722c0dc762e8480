//! Echo and discard: what comes back, and that nobody disturbs anybody.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use support::{Random, check_echo, finish, reset, serve_silently, until_stalled};

/// Sends as much as the other side takes, and then some.
fn stuff(client: &TcpStream) -> usize {
    client.set_nonblocking(true).unwrap();
    let (piece, sent) = ([b'x'; 65536], std::cell::Cell::new(0));
    until_stalled(|| {
        loop {
            match (&*client).write(&piece) {
                Ok(bytes) => sent.set(sent.get() + bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return sent.get(),
                Err(error) => panic!("{error}"),
            }
        }
    })
}

#[test]
fn everything_comes_back_and_then_the_end() {
    let server = serve_silently(&["--mode", "echo"]);
    let clients: Vec<_> = (0..50)
        .map(|seed| {
            let mut client = server.connect();
            std::thread::spawn(move || {
                let mut random = Random::new(seed);
                let length = 100_000 + random.below(200_000);
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
    assert!(ended.line("served").contains("served 50 connections"));
}

/// Needs SO_REUSEPORT.
#[cfg(unix)]
#[test]
fn several_ports_serve_one_address() {
    let server = serve_silently(&["--mode", "echo", "--ports", "3", "--workers", "2"]);
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        check_echo(client, format!("client {index}").as_bytes());
    }
    for client in &mut clients {
        assert_eq!(finish(client), b"");
    }
    let ended = server.terminate();
    ended.assert_fine();
    assert!(ended.line("listening").contains("ports 3"));
    assert!(
        ended
            .line("served")
            .contains("served 60 connections (at most 60 at once)")
    );
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_disturbs_nobody() {
    let server = serve_silently(&["--mode", "echo", "--workers", "1", "--concurrency", "1"]);
    let greedy: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let sent: usize = greedy.iter().map(stuff).sum();
    let resident = server.resident();
    assert!(resident < support::FEW, "{resident} KiB after {sent} bytes");
    let mut other = server.connect();
    for round in 0..100 {
        check_echo(&mut other, format!("round {round}").as_bytes());
    }
    // One of them reads after all, and gets everything.
    let mut late = &greedy[0];
    late.set_nonblocking(false).unwrap();
    late.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    late.read_to_end(&mut back).unwrap();
    assert!(back.iter().all(|&byte| byte == b'x'));
    reset(other);
    for client in greedy {
        reset(client);
    }
    let ended = server.terminate();
    ended.assert_fine();
    assert!(ended.line("served").contains("served 5 connections"));
}

#[test]
fn resets_in_any_state_disturb_nobody() {
    let server = serve_silently(&["--mode", "echo"]);
    let mut witness = server.connect();
    let mut random = Random::new(3);
    for round in 0..300 {
        let mut client = server.connect();
        match round % 4 {
            0 => {}
            1 => client.write_all(b"%n\0half a word").unwrap(),
            2 => check_echo(&mut client, b"all is well"),
            _ => {
                let _ = client.shutdown(Shutdown::Write);
            }
        }
        reset(client);
        if random.below(5) == 0 {
            check_echo(&mut witness, format!("{round}").as_bytes());
        }
    }
    check_echo(&mut witness, b"the witness lives");
    drop(witness);
    server.terminate().assert_fine();
}

#[test]
fn a_client_that_sends_a_byte_now_and_then_holds_up_nobody() {
    let server = serve_silently(&["--mode", "echo", "--workers", "1"]);
    let mut slow: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let mut quick = server.connect();
    for byte in b"slow" {
        for client in &mut slow {
            check_echo(client, &[*byte]);
        }
        check_echo(&mut quick, &[b'q'; 100_000]);
    }
    drop((slow, quick));
    server.terminate().assert_fine();
}

#[test]
fn discard_counts() {
    let server = serve_silently(&["--mode", "discard"]);
    let mut client = server.connect();
    client.write_all(&vec![b'x'; 5_000_000]).unwrap();
    assert_eq!(finish(&mut client), b"");
    let ended = server.terminate();
    ended.assert_fine();
    assert!(
        ended
            .line("served")
            .contains("received 5000000 bytes, sent 0 bytes")
    );
}
