//! The load generator against servers that are wrong on purpose.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use load::report::Report;

/// A server that lets `fault` change each piece it has read before it goes back. `fault` also gets
/// the position of the piece in the stream.
fn server(fault: fn(u64, &mut Vec<u8>)) -> SocketAddr {
    serve(move |mut stream| {
        let mut position = 0;
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let mut piece = buffer[..count].to_vec();
            fault(position, &mut piece);
            position += count as u64;
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    })
}

fn serve(connection: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = connection.clone();
            thread::spawn(move || connection(stream.unwrap()));
        }
    });
    address
}

fn load(address: &str, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_load"))
        .arg(address)
        .args(["--seconds", "0.3", "--warmup", "0.1", "--stall", "1"])
        .args(options)
        .output()
        .unwrap()
}

#[track_caller]
fn assert_refused(address: SocketAddr, options: &[&str], reason: &str) {
    let output = load(&address.to_string(), options);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "accepted; stderr: {errors}");
    assert!(errors.contains(reason), "stderr: {errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        !printed.contains("requests"),
        "a report in spite of the error: {printed}"
    );
}

const OPEN: &[&str] = &["--rate", "2000", "--connections", "7", "--percent", "5"];

const LOADS: [&[&str]; 5] = [
    &[],
    &["--connections", "7", "--size", "1000"],
    &["--connections", "3", "--depth", "8"],
    &["--connections", "3", "--size", "30000", "--churn"],
    OPEN,
];

#[test]
fn a_right_server_is_accepted() {
    for options in LOADS {
        let output = load(&server(|_, _| {}).to_string(), options);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{options:?}: {errors}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let [measuring, measured, report] = printed.lines().collect::<Vec<_>>()[..] else {
            panic!("{printed}");
        };
        assert_eq!((measuring, measured), ("measuring", "measured"));
        let report: Report = serde_json::from_str(report).unwrap();
        assert!(report.requests > 0 && report.seconds >= 0.3, "{report:?}");
        assert!(
            report.p50_us <= report.p99_us && report.p99_us <= report.max_us,
            "{report:?}"
        );
    }
}

#[test]
fn a_lost_byte_is_an_error() {
    for options in LOADS {
        // The last byte of the first piece: what follows, if anything, is shifted by one.
        let address = server(|position, piece| {
            if position == 0 {
                piece.pop();
            }
        });
        let output = load(&address.to_string(), options);
        assert!(!output.status.success(), "{options:?}");
    }
    let address = server(|_, piece| piece.truncate(piece.len() - 1));
    assert_refused(address, &[], "nothing arrives any more");
}

#[test]
fn a_doubled_byte_is_an_error() {
    let address = server(|_, piece| piece.push(piece[piece.len() - 1]));
    assert_refused(address, &[], "byte 64 came back");
    let address = server(|_, piece| piece.insert(9, piece[9]));
    assert_refused(address, &["--depth", "4"], "byte 10 came back");
    let address = server(|_, piece| piece.push(piece[piece.len() - 1]));
    assert_refused(address, OPEN, "more bytes came than were sent");
}

#[test]
fn swapped_bytes_are_an_error() {
    // Two equal bytes may be swapped unseen, but hardly on all the connections.
    let address = server(|_, piece| piece.swap(3, 4));
    assert_refused(address, &["--connections", "4"], "byte 3 came back");
    assert_refused(
        address,
        &["--connections", "4", "--churn"],
        "byte 3 came back",
    );
}

#[test]
fn one_wrong_byte_late_in_the_stream_is_an_error() {
    let address = server(|position, piece| {
        if position > 10_000 {
            piece[0] ^= 1;
        }
    });
    assert_refused(address, &[], "came back as");
    let address = server(|position, piece| {
        if position > 1000 {
            piece[1] ^= 1;
        }
    });
    assert_refused(address, OPEN, "came back as");
}

#[test]
fn a_changed_mark_is_an_error() {
    let address = server(|_, piece| piece[0] ^= 0x80);
    assert_refused(address, OPEN, "the mark 0 came back as 128");
}

#[test]
fn a_server_that_does_not_keep_up_is_found_out() {
    let address = serve(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            // Two connections allow 200 requests per second at most.
            thread::sleep(Duration::from_millis(10));
            let _ = stream.write_all(&buffer[..count]);
        }
    });
    let options = ["--rate", "4000", "--connections", "2", "--percent", "50"];
    let output = load(&address.to_string(), &options);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let report: Report = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    let open = report.open.clone().unwrap();
    assert!(open.overloaded && open.unsent > 0, "{report:?}");
    // What was due has been answered or was never sent.
    assert_eq!(open.due, report.requests + open.unsent, "{report:?}");
    // Those before the window are among them.
    assert!(open.jobs > 0, "{report:?}");
}

#[test]
fn bytes_after_the_last_answer_are_an_error() {
    let late = |mut stream: TcpStream| {
        let mut buffer = [0; 4096];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 {
                let _ = stream.write_all(b"one more thing");
                return;
            }
            let _ = stream.write_all(&buffer[..count]);
        }
    };
    assert_refused(serve(late), &[], "at its end");
    assert_refused(serve(late), &["--churn"], "after the answer");
    assert_refused(serve(late), OPEN, "at its end");
}

#[test]
fn a_server_that_closes_early_is_an_error() {
    let address = serve(|mut stream| {
        let mut buffer = [0; 64];
        let _ = stream.read_exact(&mut buffer);
        let _ = stream.shutdown(Shutdown::Both);
    });
    assert_refused(address, &[], "");
    assert_refused(address, &["--churn"], "before the answer");
    assert_refused(address, OPEN, "");
}

#[test]
fn a_server_that_never_closes_is_an_error() {
    let forgetful = |mut stream: TcpStream| {
        let mut buffer = [0; 4096];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 {
                std::mem::forget(stream);
                return;
            }
            let _ = stream.write_all(&buffer[..count]);
        }
    };
    assert_refused(serve(forgetful), &[], "does not close");
    assert_refused(serve(forgetful), &["--churn"], "does not close");
    assert_refused(serve(forgetful), OPEN, "does not close");
}

#[test]
fn other_machines_are_refused() {
    for address in ["192.0.2.1:80", "[2001:db8::1]:80", "0.0.0.0:80"] {
        let output = load(address, &[]);
        assert_eq!(output.status.code(), Some(2));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("not a loopback address"), "{errors}");
    }
}
