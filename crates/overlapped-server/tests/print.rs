//! What is printed: exactly what was received, in order for each connection.

mod support;

use std::collections::HashMap;
#[cfg(unix)]
use std::io::Read;
use std::io::{BufRead, BufReader, Write};
#[cfg(unix)]
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use support::{Random, finish, reset, send_in_pieces, serve, until_stalled};

const CLIENTS: usize = 200;

/// Lines of all lengths, with everything in them that ever broke a server that prints.
fn awkward_lines(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        match random.below(8) {
            0 => all.extend_from_slice(b"%n%n%s%x%n"),
            1 => all.extend_from_slice(b"\0\0"),
            2 => all.extend_from_slice("Grüße, 日本語".as_bytes()),
            3 => all.extend_from_slice(b"\xff\xc3\xe2\x82\x1b[2J\r"),
            4 => all.extend(vec![b'x'; random.below(5000)]),
            _ => {
                let length = random.below(200);
                all.extend(random.bytes(length).iter().filter(|&&byte| byte != b'\n'));
            }
        }
        if random.below(3) > 0 {
            all.push(b'\n');
        }
    }
    all.push(b'\n');
    all
}

#[test]
fn each_of_200_clients_lines_are_printed_byte_for_byte() {
    let mut server = serve(&["--prefix"]);
    let output = server.collect();
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|seed| {
            let mut client = server.connect();
            std::thread::spawn(move || {
                let mut random = Random::new(seed + 1);
                let length = 10_000 + random.below(50_000);
                let lines = awkward_lines(&mut random, length);
                let prefix = client.local_addr().unwrap().to_string();
                send_in_pieces(&mut client, &lines, &mut random);
                assert_eq!(finish(&mut client), b"");
                (prefix, lines)
            })
        })
        .collect();
    let sent: HashMap<String, Vec<u8>> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    assert_eq!(sent.len(), CLIENTS);
    server.terminate().assert_fine();

    let output = output.join().unwrap();
    let mut printed: HashMap<String, Vec<u8>> = HashMap::new();
    for line in output.split_inclusive(|&byte| byte == b'\n') {
        let end = line.windows(2).position(|two| two == b": ");
        let end = end.expect("each line has a prefix");
        let prefix = String::from_utf8(line[..end].to_vec()).expect("the prefix is an address");
        printed
            .entry(prefix)
            .or_default()
            .extend_from_slice(&line[end + 2..]);
    }
    assert_eq!(printed.len(), CLIENTS);
    for (client, lines) in sent {
        assert!(printed[&client] == lines, "the lines of {client} differ");
    }
}

#[test]
fn nothing_is_lost_or_added_without_prefix() {
    let mut server = serve(&["--workers", "8"]);
    let output = server.collect();
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|seed| {
            let mut client = server.connect();
            std::thread::spawn(move || {
                let mut random = Random::new(seed + 1000);
                let length = random.below(40_000);
                let bytes = random.bytes(length);
                send_in_pieces(&mut client, &bytes, &mut random);
                finish(&mut client);
                bytes
            })
        })
        .collect();
    let mut sent = vec![0usize; 256];
    for client in clients {
        for byte in client.join().unwrap() {
            sent[usize::from(byte)] += 1;
        }
    }
    let ended = server.terminate();
    ended.assert_fine();
    let mut printed = vec![0usize; 256];
    for byte in output.join().unwrap() {
        printed[usize::from(byte)] += 1;
    }
    assert_eq!(printed, sent);
    let total: usize = sent.iter().sum();
    let summary = ended.line("served");
    assert!(summary.contains("served 200 connections"), "{summary}");
    assert!(
        summary.contains(&format!("received {total} bytes")),
        "{summary}"
    );
}

#[test]
fn one_connections_bytes_are_printed_exactly() {
    let mut server = serve(&[]);
    let output = server.collect();
    let mut random = Random::new(7);
    let mut bytes = b"%n%s\0\0hello\r\n\xff\xfe\x1b]0;title\x07".to_vec();
    bytes.extend(random.bytes(3_000_000));
    bytes.extend_from_slice(b"no newline at the end %n");
    let mut client = server.connect();
    send_in_pieces(&mut client, &bytes, &mut random);
    finish(&mut client);
    server.terminate().assert_fine();
    assert!(output.join().unwrap() == bytes);
}

#[test]
fn the_tutorials_bugs_are_not_ours() {
    let mut server = serve(&[]);
    let output = server.collect();
    // A receive that fills its buffer to the last byte, format directives, an embedded NUL, and a
    // client that resets.
    let bytes = [&[b'x'; 4096][..], b"%n%n%n%s%s%s", b"before\0after"].concat();
    let mut client = server.connect();
    client.write_all(&bytes).unwrap();
    finish(&mut client);
    let mut other = server.connect();
    other.write_all(b"!").unwrap();
    reset(other);
    server.terminate().assert_fine();
    let output = output.join().unwrap();
    assert!(output.starts_with(&bytes));
}

#[test]
fn a_slow_reader_of_standard_output_stops_the_reading_and_loses_nothing() {
    const EACH: usize = 32 << 20;
    let mut server = serve(&[]);
    let progress = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for letter in [b'a', b'b', b'c', b'd'] {
        let (mut client, progress) = (server.connect(), progress.clone());
        clients.push(std::thread::spawn(move || {
            let piece = [letter; 100_000];
            let mut left = EACH;
            while left > 0 {
                let now = left.min(piece.len());
                client.write_all(&piece[..now]).unwrap();
                left -= now;
                progress.fetch_add(now, SeqCst);
            }
            finish(&mut client);
        }));
    }
    let sent = until_stalled(|| progress.load(SeqCst));
    assert!(sent < 4 * EACH, "everything was taken though nobody reads");
    let resident = server.resident();
    assert!(
        resident < support::FEW,
        "{resident} KiB for four connections"
    );

    let output = server.collect();
    for client in clients {
        client.join().unwrap();
    }
    server.terminate().assert_fine();
    let output = output.join().unwrap();
    for letter in [b'a', b'b', b'c', b'd'] {
        assert_eq!(output.iter().filter(|&&byte| byte == letter).count(), EACH);
    }
}

#[test]
fn when_standard_output_is_closed_the_server_says_so_and_ends() {
    for format in ["text", "json"] {
        let mut server = serve(&["--log-format", format]);
        let mut client = server.connect();
        client.write_all(b"first line\n").unwrap();
        let mut reader = BufReader::new(server.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "first line\n");
        // As `head -1` does.
        drop(reader);
        client.write_all(b"second line\n").unwrap();
        let ended = server.wait();
        assert_eq!(ended.code, Some(1), "{:?}", ended.log);
        ended.line("standard output was closed by its reader");
        ended.line("received");
        assert!(!ended.log.iter().any(|line| line.contains("panicked")));
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_server_with_its_reason() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return;
    };
    let mut command = Command::new(support::PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]).stdout(full);
    let server = support::start(command);
    server.connect().write_all(b"x").unwrap();
    let ended = server.wait();
    assert_eq!(ended.code, Some(1));
    ended.line("cannot write to standard output: No space left");
}

#[test]
fn a_line_without_end_costs_bounded_memory() {
    let mut server = serve(&["--prefix"]);
    let output = server.collect();
    let mut client = server.connect();
    let prefix = format!("{}: ", client.local_addr().unwrap());
    let bytes = vec![b'x'; 10 << 20];
    client.write_all(&bytes).unwrap();
    finish(&mut client);
    let resident = server.resident();
    assert!(resident < support::FEW, "{resident} KiB for one connection");
    server.terminate().assert_fine();
    let output = String::from_utf8(output.join().unwrap()).unwrap();
    let mut printed = 0;
    for line in output.lines() {
        let part = line
            .strip_prefix(&prefix)
            .expect("each part has the prefix");
        assert!(part.len() <= 64 << 10);
        printed += part.len();
    }
    assert_eq!(printed, bytes.len());
}

#[cfg(unix)]
#[test]
fn a_client_cannot_drive_a_terminal() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = std::fs::OpenOptions::new()
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut command = Command::new(support::PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]);
    command.stdout(Stdio::from(terminal));
    let server = support::start(command);

    let mut client = server.connect();
    let text = "a\x1b]0;title\x07\u{9b}2J é\tb\0".as_bytes();
    // Each byte alone, so that sequences are cut everywhere.
    for byte in [text, b"\xff end\n"].concat() {
        client.write_all(&[byte]).unwrap();
    }
    finish(&mut client);
    let mut shown = Vec::new();
    let mut from = std::fs::File::from(master);
    while !shown.ends_with(b"\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        shown.push(byte[0]);
    }
    let shown = String::from_utf8(shown).unwrap();
    assert_eq!(
        shown.trim_end(),
        "a\\x1b]0;title\\x07\\xc2\\x9b2J é\tb\\x00\\xff end",
    );
    server.terminate().assert_fine();
}
