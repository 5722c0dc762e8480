//! `overlapped top`, and the control socket that it asks.
#![cfg(unix)]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Server, Signal, check_echo, serve_silently};

/// A directory of a test's own, that goes with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("overlapped-top-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn top(args: &[&str]) -> Command {
    let mut command = Command::new(support::PROGRAM);
    command.arg("top").args(args);
    command
}

/// Runs it with something that must fail, and returns the one line it says.
fn refused(mut command: Command, code: i32) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{text}");
    assert_eq!((text.lines().count(), stdout.len()), (1, 0), "{text}");
    text
}

fn shown(mut command: Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A server that has this control socket, once it answers there.
fn serve(control: &str) -> Server {
    let server = serve_silently(&["--mode", "echo", "--concurrency", "2", "--control", control]);
    until("there is a socket", || Path::new(control).exists());
    server
}

fn until(what: &str, so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed() < support::WATCHDOG, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What is answered to a line.
fn ask(control: &str, question: &str) -> Value {
    let mut client = UnixStream::connect(control).unwrap();
    client.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.find('\n'), Some(answer.len() - 1), "{answer}");
    serde_json::from_str(&answer).unwrap()
}

const QUESTION: &str = "{\"version\":1,\"want\":\"snapshot\"}\n";

#[test]
fn a_snapshot_under_load_is_exact_where_it_can_be() {
    let directory = Directory::new("load");
    let control = directory.path("control");
    let server = serve(&control);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        for _ in 0..200 {
            check_echo(client, b"some words");
        }
    }
    // Their last sends have been taken when the receives after them are under way.
    until("all wait", || {
        let snapshot = ask(&control, QUESTION);
        snapshot["ports"][0]["under_way"]["Recv"] == 5
    });
    let snapshot = ask(&control, QUESTION);
    assert_eq!(snapshot["version"], 1);
    assert_eq!(snapshot["mode"], "echo");
    assert_eq!(
        (&snapshot["connections"], &snapshot["opened"]),
        (&5.into(), &5.into())
    );
    assert_eq!(snapshot["received"], 5 * 200 * 10);
    assert_eq!(snapshot["sent"], 5 * 200 * 10);
    let port = &snapshot["ports"][0];
    assert_eq!(snapshot["ports"].as_array().unwrap().len(), 1);
    assert_eq!(port["concurrency"], 2);
    assert_eq!(port["under_way"]["Accept"], 16);
    assert_eq!(port["sockets"], 6);
    assert_eq!(
        (&port["queued"], &port["away"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    assert_eq!(port["arrived"], port["taken"]);
    // Each connection, and each of their sends and receives.
    assert!(port["taken"].as_u64().unwrap() >= 5 + 5 * 200);
    let measured = port["waits"].as_array().unwrap().iter();
    let measured: u64 = measured.map(|bucket| bucket[1].as_u64().unwrap()).sum();
    assert!(measured > 0 && measured < port["taken"].as_u64().unwrap());

    let text = shown(top(&["--attach", &control]));
    assert!(text.starts_with("overlapped "), "{text}");
    for part in [
        "mode echo",
        "connections  5, of 5 so far",
        "at most 2",
        "Accept 16, Recv 5",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
    server.terminate().assert_fine();
    assert!(!Path::new(&control).exists(), "it is removed at the end");
}

#[test]
fn servers_are_found_by_process_and_without_a_name_if_there_is_one() {
    let directory = Directory::new("find");
    let start = || {
        let mut command = Command::new(support::PROGRAM);
        command.args(["--listen", "127.0.0.1:0", "--mode", "discard"]);
        command
            .env("XDG_RUNTIME_DIR", &directory.0)
            .stdout(Stdio::null());
        support::start(command)
    };
    let here = |args: &[&str]| {
        let mut command = top(args);
        command.env("XDG_RUNTIME_DIR", &directory.0);
        command
    };
    assert!(refused(here(&[]), 1).contains("no server of this user's runs"));
    let sockets = || {
        let entries = std::fs::read_dir(directory.0.join("overlapped"));
        entries.map_or(0, Iterator::count)
    };
    let first = start();
    until("the first has a socket", || sockets() == 1);
    let text = shown(here(&[]));
    let process = text.split([' ', ',']).nth(1).unwrap();
    assert_eq!(
        shown(here(&["--attach", process])).lines().count(),
        text.lines().count()
    );

    let second = start();
    until("the second has a socket", || sockets() == 2);
    let said = refused(here(&[]), 1);
    assert!(
        said.contains("several servers run") && said.contains(process),
        "{said}"
    );
    first.terminate().assert_fine();
    shown(here(&[]));
    // What one leaves that is killed is no server.
    drop(second);
    assert_eq!(sockets(), 1);
    assert!(refused(here(&[]), 1).contains("no server of this user's runs"));
}

#[test]
fn what_cannot_be_shown_is_explained() {
    let directory = Directory::new("wrong");
    let nowhere = directory.path("nowhere");
    let said = refused(top(&["--attach", &nowhere]), 1);
    assert!(said.contains("there is no server"), "{said}");
    let said = refused(top(&["--interval", "0"]), 2);
    assert!(said.contains("more than nothing"), "{said}");
    refused(top(&["here"]), 2);
    // Others than servers.
    for (answer, says) in [
        ("{\"version\":2}\n", "speaks version 2 of the protocol"),
        ("{\"version\":1,\"error\":\"not\\u001b now\"}\n", "not? now"),
        ("HTTP/1.1 400 Bad Request\r\n", "no server of ours"),
        ("[1, 2]\n", "no server of ours"),
        ("", "does not talk to us"),
    ] {
        let path = directory.path("other");
        let listener = UnixListener::bind(&path).unwrap();
        let other = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            BufReader::new(&client)
                .read_line(&mut String::new())
                .unwrap();
            client.write_all(answer.as_bytes()).unwrap();
        });
        let said = refused(top(&["--attach", &path]), 1);
        assert!(said.contains(says), "{answer:?}: {said}");
        other.join().unwrap();
        let said = refused(top(&["--attach", &path]), 1);
        assert!(said.contains("the server is gone"), "{said}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_server_that_goes_is_noticed() {
    let directory = Directory::new("goes");
    let control = directory.path("control");
    let server = serve(&control);
    let mut command = top(&["--attach", &control, "--interval", "20ms"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let looks = lines
        .by_ref()
        .map_while(Result::ok)
        .filter(|line| line.starts_with("overlapped "));
    assert_eq!(looks.take(3).count(), 3);
    server.terminate().assert_fine();
    // So that it is not held up by a pipe that nobody reads.
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot look at"), "{said}");
}

#[test]
fn hostile_clients_harm_nobody() {
    let directory = Directory::new("hostile");
    let control = directory.path("control");
    let server = serve(&control);
    let mode = std::fs::metadata(&control).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (question, says) in [
        ("\n", "no question"),
        ("\u{0}\u{1}\n", "no question"),
        ("[[[[[[\n", "no question"),
        ("{\"version\":7}\n", "version 1 of the protocol, and not 7"),
        (
            "{\"version\":1,\"want\":\"shutdown\"}\n",
            "only the snapshot",
        ),
    ] {
        let answer = ask(&control, question);
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
    }
    // A line without an end is cut off.
    let mut endless = UnixStream::connect(&control).unwrap();
    while endless.write_all(&[b'x'; 4096]).is_ok() {}
    // More than are served at once, that say nothing, or never read; for a while others are turned
    // away, and then their time is up.
    let mut silent: Vec<_> = (0..40)
        .map(|_| UnixStream::connect(&control).unwrap())
        .collect();
    for client in silent.iter_mut().skip(20) {
        // It may have been turned away already.
        let _ = client.write_all(QUESTION.as_bytes());
    }
    check_echo(&mut server.connect(), b"undisturbed");
    until("it answers again", || {
        let Ok(mut client) = UnixStream::connect(&control) else {
            return false;
        };
        let mut answer = String::new();
        client.write_all(QUESTION.as_bytes()).is_ok()
            && client.read_to_string(&mut answer).is_ok()
            && answer.contains("\"version\":1")
    });
    drop(silent);
    server.terminate().assert_fine();
    assert!(!Path::new(&control).exists());
}

#[test]
fn only_what_a_dead_server_left_is_replaced() {
    let directory = Directory::new("stale");
    let control = directory.path("control");
    drop(UnixListener::bind(&control).unwrap());
    let server = serve_silently(&["--mode", "echo", "--control", &control]);
    until("it answers", || UnixStream::connect(&control).is_ok());

    let second = |path: &str| {
        let mut command = Command::new(support::PROGRAM);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--control",
            path,
        ]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = second(&control);
    assert!(said.contains("another server answers there"), "{said}");
    assert_eq!(
        ask(&control, QUESTION)["version"],
        1,
        "it is the first's as before"
    );
    let file = directory.path("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(second(&file).contains("not replaced"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert!(second(&directory.path("no/such/place")).contains("cannot make the control socket"));
    server.terminate().assert_fine();
}

#[test]
fn without_a_control_socket_there_is_none() {
    let directory = Directory::new("none");
    let mut command = Command::new(support::PROGRAM);
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--mode",
        "echo",
        "--control",
        "none",
    ]);
    command
        .env("XDG_RUNTIME_DIR", &directory.0)
        .stdout(Stdio::null());
    let server = support::start(command);
    check_echo(&mut server.connect(), b"served");
    server.terminate().assert_fine();
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
    // Where none can be made by itself, it serves without.
    std::fs::create_dir(directory.0.join("overlapped")).unwrap();
    let open = PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.0.join("overlapped"), open).unwrap();
    let mut command = Command::new(support::PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--mode", "echo"]);
    command
        .env("XDG_RUNTIME_DIR", &directory.0)
        .stdout(Stdio::null());
    let server = support::start(command);
    server.wait_for_log("not a directory of this user's alone");
    check_echo(&mut server.connect(), b"served");
    server.terminate().assert_fine();
}

#[test]
fn on_a_terminal_it_draws_and_leaves_the_screen_as_it_was() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let directory = Directory::new("terminal");
    let control = directory.path("control");
    let server = serve(&control);
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = File::options()
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut command = top(&["--attach", &control, "--interval", "20ms"]);
    command.stdout(Stdio::from(terminal)).stderr(Stdio::null());
    let mut child: Child = command.spawn().unwrap();
    drop(command);

    let mut screen = File::from(master);
    let mut seen = String::new();
    let mut read_until = |text: &str, times: usize| {
        while seen.matches(text).count() < times {
            let mut piece = [0; 4096];
            let count = screen.read(&mut piece).expect(text);
            seen.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        seen.clone()
    };
    let drawn = read_until("connections  0, of 0 so far", 3);
    assert!(drawn.starts_with("\x1b[?1049h"), "{drawn:?}");
    support::signal(child.id(), Signal::Int);
    read_until("\x1b[?1049l", 1);
    assert!(child.wait().unwrap().success());
    server.terminate().assert_fine();
}
