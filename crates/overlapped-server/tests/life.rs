//! Beginning and ending: signals, errors, the log, the manual.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

use support::{Signal, check_echo, finish, serve, serve_silently};

fn run(args: &[&str]) -> Output {
    Command::new(support::PROGRAM)
        .args(args)
        .output()
        .expect("the program can be started")
}

/// Runs it with something that it must refuse, and returns the one line it says.
fn refused(args: &[&str], code: i32) -> String {
    let output = run(args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(output.stdout.is_empty());
    text
}

#[test]
fn a_signal_lets_what_was_received_be_printed() {
    for &signal in Signal::ALL {
        let mut server = serve(&["-v"]);
        let output = server.collect();
        let mut client = server.connect();
        server.wait_for_log("connection 1 from");
        let bytes = vec![b'x'; 1_000_000];
        client.write_all(&bytes).unwrap();
        // It was all sent, but never said to be.
        server.signal(signal);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "disconnected in order");
        let ended = server.wait();
        ended.assert_fine();
        assert!(output.join().unwrap() == bytes);
        ended.line("the server ends");
        let summary = ended.line("served");
        assert!(summary.contains("served 1 connection "), "{summary}");
        assert!(summary.contains("received 1000000 bytes"), "{summary}");
    }
}

#[test]
fn a_signal_lets_what_was_received_be_echoed() {
    let server = serve_silently(&["--mode", "echo"]);
    let mut client = server.connect();
    check_echo(&mut client, b"it is accepted");
    client.write_all(&[b'x'; 300_000]).unwrap();
    server.signal(Signal::Term);
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert_eq!(back.len(), 300_000);
    server.wait().assert_fine();
}

#[test]
fn an_idle_server_with_idle_clients_ends_at_once() {
    let server = serve_silently(&[]);
    let clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    let ended = server.terminate();
    ended.assert_fine();
    drop(clients);
}

#[test]
fn an_endless_client_does_not_keep_the_server_from_ending() {
    let server = serve_silently(&["--mode", "discard"]);
    let mut client = server.connect();
    client.write_all(&[b'x'; 65536]).unwrap();
    let endless = std::thread::spawn(move || while client.write_all(&[b'x'; 65536]).is_ok() {});
    let ended = server.terminate();
    ended.assert_fine();
    endless.join().unwrap();
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for &signal in Signal::ALL {
        let server = serve(&[]);
        let mut client = server.connect();
        // Nobody reads standard output, so this cannot be printed.
        let sender = std::thread::spawn(move || while client.write_all(&[b'x'; 65536]).is_ok() {});
        server.signal(signal);
        server.wait_for_log("again to end at once");
        server.signal(signal);
        let ended = server.wait();
        // It may just have been done, if nothing was received before the first signal.
        assert!(
            matches!(ended.code, Some(c) if c == signal.code() || c == 0),
            "{:?}",
            ended.code
        );
        sender.join().unwrap();
    }
}

#[test]
fn what_cannot_be_printed_in_time_is_told() {
    let server = serve(&["-v"]);
    let mut client = server.connect();
    server.wait_for_log("connection 1 from");
    let sender = std::thread::spawn(move || while client.write_all(&[b'x'; 65536]).is_ok() {});
    // Until the pipe is full.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let ended = server.terminate();
    assert_eq!(ended.code, Some(1), "{:?}", ended.log);
    ended.line("not finished in time: cut off 1 connection, 1 receive not printed");
    sender.join().unwrap();
}

#[test]
fn an_address_that_is_taken_is_explained() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = refused(&["--listen", &address], 1);
    assert!(
        text.contains(&format!("cannot listen on {address}")),
        "{text}"
    );
    assert!(text.contains("another program listens there"), "{text}");
}

#[test]
fn an_unknown_host_is_explained() {
    let text = refused(&["--listen", "nosuchhost.invalid:4567"], 1);
    assert!(
        text.contains("cannot find the host of 'nosuchhost.invalid:4567'"),
        "{text}"
    );
}

#[test]
fn bad_arguments_are_explained_in_one_line() {
    for (args, says) in [
        (
            &["--listen", "127.0.0.1"][..],
            "it has no port; write for example 127.0.0.1:4567",
        ),
        (&["--listen", "4567"], "127.0.0.1:4567"),
        (&["--mode", "ecco"], "'echo'"),
        (&["--engine", "iocp"], "uring-or-epoll"),
        (&["--workers", "0"], "at least 1"),
        (&["--idle-timeout", "never"], "500ms"),
        (&["--no-such-option"], "--no-such-option"),
        (&["surf"], "surf"),
    ] {
        let text = refused(args, 2);
        assert!(text.starts_with("overlapped: "), "{text}");
        assert!(text.contains(says), "{text}");
        assert!(text.contains("--help"), "{text}");
    }
}

#[test]
fn a_server_that_was_ended_can_be_started_again_at_once() {
    let server = serve_silently(&["--mode", "echo"]);
    let address = server.address.to_string();
    let mut client = server.connect();
    check_echo(&mut client, b"x");
    // The server closes first, so its side of the connection stays in TIME_WAIT.
    server.terminate().assert_fine();
    drop(client);
    let mut command = Command::new(support::PROGRAM);
    command.args(["serve", "--mode", "echo", "--listen", &address]);
    command.stdout(std::process::Stdio::null());
    let server = support::start(command);
    assert_eq!(server.address.to_string(), address);
    check_echo(&mut server.connect(), b"again");
    server.terminate().assert_fine();
}

#[test]
fn the_log_can_be_json() {
    let server = serve_silently(&["--log-format", "json", "-v", "--idle-timeout", "5m"]);
    let mut client = server.connect();
    client.write_all(b"hello").unwrap();
    finish(&mut client);
    // The client may know it before the log does.
    server.wait_for_log("\"closed\"");
    let ended = server.terminate();
    ended.assert_fine();
    let events: Vec<serde_json::Value> = ended
        .log
        .iter()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let names: Vec<_> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["listening", "opened", "closed", "draining", "summary"]
    );
    assert_eq!(events[0]["mode"], "print");
    assert_eq!(events[0]["engine"], support::ENGINE);
    assert_eq!(events[0]["ports"], 1);
    assert_eq!(events[2]["received"], 5);
    assert_eq!(events[4]["connections"], 1);
    assert_eq!(events[4]["received"], 5);
    for event in events {
        assert!(event["time"].as_str().unwrap().ends_with('Z'));
        assert!(event["message"].is_string() && event["level"].is_string());
    }
}

#[test]
fn the_first_line_says_what_is_going_on() {
    let args = ["--mode", "echo", "--workers", "5", "--concurrency", "3"];
    let server = serve_silently(&args);
    let line = server.wait_for_log("listening");
    for part in [
        "mode echo",
        &format!("engine {} (", support::ENGINE),
        "ports 1",
        "workers 5",
        "concurrency 3",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(server.terminate().log[0], line);
}

#[test]
fn several_addresses_can_be_listened_on() {
    let server = serve_silently(&["--mode", "echo", "--listen", "127.0.0.2:0"]);
    let line = server.wait_for_log("listening");
    let from = line.find("127.0.0.2:").unwrap();
    let second = line[from..].split([';', ',']).next().unwrap();
    let mut client = std::net::TcpStream::connect(second).unwrap();
    check_echo(&mut client, b"second");
    check_echo(&mut server.connect(), b"first");
    drop(client);
    server.terminate().assert_fine();
}

/// The page is for Unix, which has a command and an option more.
#[cfg(unix)]
#[test]
fn the_manual_is_up_to_date() {
    let output = run(&["man"]);
    assert!(output.status.success());
    let kept = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/man/overlapped.1"));
    assert!(
        kept.is_ok_and(|kept| kept == output.stdout),
        "make it anew: cargo run -p overlapped-server -- man > \
         crates/overlapped-server/man/overlapped.1"
    );
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["serve", "--help"],
        &["--version"],
    ] {
        let output = run(args);
        assert!(output.status.success());
        assert!(output.stderr.is_empty());
        assert!(output.stdout.starts_with(b"A TCP server") || args != ["--help"]);
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let mut command = Command::new(support::PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--mode", "echo", "-v"]);
    support::group(&mut command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first line, and then no more.
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let address = line
        .split_whitespace()
        .find_map(|word| word.trim_end_matches([',', ';']).parse().ok());
    let address: SocketAddr = address.expect("the first line says where");
    // Each connection is two lines; a pipe has room for some hundred.
    for _ in 0..2000 {
        let mut client = TcpStream::connect(address).unwrap();
        check_echo(&mut client, b"served");
    }
    support::signal(child.id(), Signal::Term);
    assert!(child.wait().unwrap().success());
}
