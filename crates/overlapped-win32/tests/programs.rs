//! Programs in the style of those that there are for Windows, unmodified: compiled with mingw and
//! run under Wine, compiled by the wrapper and run here. What their clients see is the same.
#![cfg(target_os = "linux")]

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::spawn;
use std::time::Duration;

use support::{HERE, Server, can_compile, compile, directory, mingw, skipped, succeed, text};

fn source(name: &str) -> PathBuf {
    Path::new(HERE).join("tests/programs").join(name)
}

/// Plays clients of a program on both systems, and compares what they say they saw.
/// What they saw, if there is a compiler.
fn on_both(
    file: &str,
    options: &[&str],
    arguments: &[&str],
    play: fn(Server) -> String,
) -> Option<String> {
    if !can_compile(file, options) {
        return None;
    }
    let here = directory(file);
    let program = here.join("program");
    compile(&source(file), &program, options);
    let mut command = Command::new(&program);
    command.arg("0").args(arguments);
    let ours = play(Server::start(command));
    if let Some(mingw) = mingw() {
        let program = here.join("program.exe");
        mingw.compile(&source(file), &program, options);
        let mut command = mingw.run(&program);
        command.arg("0").args(arguments);
        let there = play(Server::start(command));
        assert_eq!(ours, there, "here, and under Wine");
    }
    Some(ours)
}

/// A line, without its end; empty at the end of all.
fn line(client: &mut impl BufRead) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line.trim_end().to_string()
}

fn to_end(mut client: TcpStream) -> String {
    let mut all = Vec::new();
    match client.read_to_end(&mut all) {
        // Data that the server did not read makes its close a reset.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        result => {
            result.unwrap();
        }
    }
    text(&all)
}

#[test]
fn echo_with_two_operations_on_each_socket() {
    on_both("echo.c", &[], &[], |server| {
        let clients: Vec<_> = (0..8u8)
            .map(|seed| {
                let mut client = server.connect();
                spawn(move || {
                    let bytes: Vec<u8> = (0..300_000u32)
                        .map(|n| (n * 31 + n / 251) as u8 ^ seed)
                        .collect();
                    let mut back = client.try_clone().unwrap();
                    let reader = spawn(move || {
                        let mut all = Vec::new();
                        back.read_to_end(&mut all).unwrap();
                        all
                    });
                    for piece in bytes.chunks(7001) {
                        client.write_all(piece).unwrap();
                    }
                    client.shutdown(Shutdown::Write).unwrap();
                    assert!(
                        reader.join().unwrap() == bytes,
                        "what came back is not what was sent"
                    );
                })
            })
            .collect();
        let ended = clients
            .into_iter()
            .map(|client| client.join().is_ok())
            .collect::<Vec<_>>();
        format!("{ended:?}")
    });
}

#[test]
fn accept_slots_are_used_again_and_receives_are_cancelled() {
    on_both("slots.cpp", &[], &[], |server| {
        let mut seen = Vec::new();
        let mut one = BufReader::new(server.connect());
        seen.push(line(&mut one));
        one.get_mut().write_all(b"hello\n").unwrap();
        seen.push(line(&mut one));
        one.get_mut()
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        // What is being sent at that moment is not cancelled, so it is said until it is.
        let told = (0..50).find_map(|_| {
            let mut other = BufReader::new(server.connect());
            assert_eq!(line(&mut other), "welcome");
            other.get_mut().write_all(b"bye\n").unwrap();
            assert_eq!(line(&mut other), "bye");
            assert_eq!(line(&mut other), "");
            let mut told = String::new();
            one.read_line(&mut told).ok().map(|_| told)
        });
        seen.push(told.expect("the other is told").trim_end().to_string());
        seen.push(line(&mut one));
        // More than there are slots, one after another.
        for n in 0..20 {
            let mut client = BufReader::new(server.connect());
            seen.push(line(&mut client));
            client
                .get_mut()
                .write_all(format!("{n}\n").as_bytes())
                .unwrap();
            seen.push(line(&mut client));
        }
        seen.join(",")
    });
}

#[test]
fn workers_are_stopped_by_packets() {
    let seen = on_both("stop.c", &[], &["post"], |server| {
        let told = to_end(server.connect());
        format!("{told}{}", server.end().0.success())
    });
    assert!(seen.is_none_or(|seen| seen == "posted 4 abandoned 0 other 0 code 0\ntrue"));
}

/// CX-9. Not under Wine 8, which does not end the waits.
#[test]
fn workers_are_stopped_by_the_end_of_the_port() {
    if !can_compile("stop.c", &[]) {
        return;
    }
    let program = directory("stop-close").join("program");
    compile(&source("stop.c"), &program, &[]);
    let mut command = Command::new(&program);
    command.args(["0", "close"]);
    let server = Server::start(command);
    assert_eq!(
        to_end(server.connect()),
        "posted 0 abandoned 4 other 0 code 1\n"
    );
    assert!(server.end().0.success());
}

/// PK-10, as a program needs it that has no worker left.
#[test]
fn a_shutdown_that_looks_at_what_is_under_way_ends() {
    let seen = on_both("spin.c", &[], &[], |server| {
        let mut clients: Vec<_> = (0..3).map(|_| BufReader::new(server.connect())).collect();
        let mut seen = Vec::new();
        for client in &mut clients {
            client.get_mut().write_all(b"hi\n").unwrap();
            seen.push(line(client));
        }
        clients[1].get_mut().write_all(b"stop\n").unwrap();
        for client in clients {
            seen.push(to_end(client.into_inner()));
        }
        let (status, lines) = server.end();
        format!("{seen:?} {} {lines:?}", status.success())
    });
    assert!(seen.is_none_or(|seen| seen.ends_with("true [\"all 3 have completed\"]")));
}

#[test]
fn sends_are_queued_for_each_client() {
    on_both("queue.cpp", &[], &[], |server| {
        let mut clients: Vec<_> = (0..4).map(|_| BufReader::new(server.connect())).collect();
        let mut seen = Vec::new();
        for (n, client) in clients.iter_mut().enumerate() {
            client
                .get_mut()
                .write_all(format!("2000 from {n}\n3 end {n}\n").as_bytes())
                .unwrap();
        }
        for client in &mut clients {
            seen.extend((0..2003).map(|_| line(client)));
        }
        seen.join(",")
    });
}

#[test]
fn coroutines_wait_for_overlapped_operations() {
    on_both("coro.cpp", &["-std=c++20"], &[], |server| {
        let mut clients: Vec<_> = (0..5).map(|_| BufReader::new(server.connect())).collect();
        let mut seen = Vec::new();
        for round in 0..20 {
            for (n, client) in clients.iter_mut().enumerate() {
                client
                    .get_mut()
                    .write_all(format!("{n} says {round}\n").as_bytes())
                    .unwrap();
            }
            seen.extend(clients.iter_mut().map(line));
        }
        seen.join(",")
    });
}

#[test]
fn all_hear_what_one_says_and_64_handles_are_waited_for() {
    on_both("chat.cpp", &[], &[], |server| {
        let mut seen = Vec::new();
        let mut one = BufReader::new(server.connect());
        seen.push(line(&mut one));
        let mut other = BufReader::new(server.connect());
        seen.extend([line(&mut one), line(&mut other)]);
        one.get_mut().write_all(b"good morning\n").unwrap();
        seen.extend([line(&mut one), line(&mut other)]);
        let third = BufReader::new(server.connect());
        seen.extend([line(&mut one), line(&mut other)]);
        drop(third);
        seen.extend([line(&mut one), line(&mut other)]);
        other.get_mut().write_all(b"/quit\n").unwrap();
        seen.extend([line(&mut one), line(&mut other)]);
        seen.extend([line(&mut one), line(&mut other)]);
        let (status, lines) = server.end();
        format!("{seen:?} {} {lines:?}", status.success())
    });
}

#[test]
fn files_are_copied() {
    if !can_compile("copy.c", &[]) {
        return;
    }
    let here = directory("copy");
    let bytes: Vec<u8> = (0..1_000_003u32).map(|n| (n * 7 + n / 255) as u8).collect();
    std::fs::write(here.join("from"), &bytes).unwrap();
    let copy = |command: &mut Command| {
        let said = text(&succeed(command.current_dir(&here).args(["from", "to"])).stdout);
        assert!(std::fs::read(here.join("to")).unwrap() == bytes);
        std::fs::remove_file(here.join("to")).unwrap();
        said
    };
    let missing = |command: &mut Command| {
        let output = command
            .current_dir(&here)
            .args(["nothing", "to"])
            .output()
            .unwrap();
        format!("{:?} {}", output.status.code(), text(&output.stdout))
    };
    let program = here.join("program");
    compile(&source("copy.c"), &program, &[]);
    let ours = (
        copy(&mut Command::new(&program)),
        missing(&mut Command::new(&program)),
    );
    if let Some(mingw) = mingw() {
        let program = here.join("program.exe");
        mingw.compile(&source("copy.c"), &program, &[]);
        let there = (
            copy(&mut mingw.run(&program)),
            missing(&mut mingw.run(&program)),
        );
        assert_eq!(ours, there, "here, and under Wine");
    }
    assert_eq!(ours.0, "copied 1000003 of 1000003 bytes\n");
}

/// As printed, with pointers in DWORDs: `--lp32`. It listens on 4567 whatever one says, and writes
/// to standard output, which comes in pieces of 4096 bytes.
#[test]
fn the_tutorials_server_runs_as_printed() {
    if !can_compile("tutorial.cpp", &["--lp32"]) {
        return;
    }
    let here = directory("tutorial");
    let program = here.join("program");
    compile(&source("tutorial.cpp"), &program, &["--lp32"]);
    if TcpListener::bind((Ipv4Addr::UNSPECIFIED, 4567)).is_err() {
        skipped("the tutorial's server: somebody is on port 4567");
        return;
    }
    let mut child = Killed(
        Command::new(&program)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let until = std::time::Instant::now() + support::WATCHDOG;
    let mut client = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, 4567)) {
            Ok(client) => break client,
            Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
        }
    };
    let mut sent = String::new();
    for n in 0..2000 {
        sent += &format!("line {n} of the text that the tutorial prints\n");
    }
    client.write_all(sent.as_bytes()).unwrap();
    let mut seen = vec![0; sent.len() / 4096 * 4096];
    let stdout = child.0.stdout.as_mut().unwrap();
    stdout.read_exact(&mut seen).unwrap();
    assert_eq!(text(&seen), sent[..seen.len()]);
}

/// A program that does not end by itself.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
