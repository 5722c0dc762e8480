//! The seccomp profile of `docs` (`docs/sandboxes.md`): under it everything works, and without what it
//! says may be missing everything works too.
//!
//! Each test puts processes under a filter before they execute their program, as container runtimes
//! do: the server, and this test itself for a program that uses the library.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod filter;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod program;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../support/mod.rs"]
mod support;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[test]
#[ignore = "the numbers of the system calls are those of x86_64"]
fn the_profile_is_tested_on_x86_64_only() {}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod on_linux {
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use crate::filter::Profile;
    use crate::program::{self, Said};
    use crate::support::{self, PROGRAM, Server, check_echo, finish};

    const IO_URING: [&str; 3] = ["io_uring_setup", "io_uring_enter", "io_uring_register"];

    fn profile() -> Profile {
        Profile::of_the_project()
    }

    /// What Docker's own profile refuses.
    fn as_in_docker() -> Profile {
        let profile = profile().refusing(&IO_URING, libc::EPERM);
        profile.refusing(&["perf_event_open"], libc::EPERM)
    }

    fn without_exact_waits(errno: i32) -> Profile {
        profile().refusing(&["epoll_pwait2"], errno)
    }

    /// Where the process that this test is again finds the file that it is to use.
    const INSIDE: &str = "OVERLAPPED_SECCOMP_FILE";

    /// Runs the calling test once more, as a process under the filter, in which this says who
    /// performed operations with files, and how the port notices blocked workers; in the first
    /// process it says nothing.
    fn under(name: &str, profile: &Profile) -> Option<Said> {
        if let Some(path) = std::env::var_os(INSIDE) {
            assert_confined();
            return Some(program::run(Path::new(&path)));
        }
        let file = Temporary::new(name);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("on_linux::{name}"), "--nocapture"]);
        command.env(INSIDE, &file.0);
        profile.confine(&mut command);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "{:?}\n{said}{errors}",
            output.status
        );
        assert!(said.contains("1 passed"), "{said}");
        None
    }

    /// That this process is under a filter: a call that always succeeds, and that none allows.
    fn assert_confined() {
        // SAFETY: asks for a number.
        let refused = unsafe { libc::getpgid(0) } == -1;
        let error = std::io::Error::last_os_error();
        assert!(refused && error.raw_os_error() == Some(libc::EPERM));
    }

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let name = format!("seccomp-{}-{name}", std::process::id());
            Temporary(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn the_profile_names_calls_that_exist() {
        assert_eq!(profile().unknown(), Vec::<&str>::new());
    }

    #[test]
    fn under_the_profile_files_are_performed_by_io_uring() {
        if std::env::var_os(INSIDE).is_none() && io_uring_is_refused() {
            eprintln!("SKIPPED: io_uring is refused here, profile or not");
            return;
        }
        let name = "under_the_profile_files_are_performed_by_io_uring";
        if let Some(said) = under(name, &profile()) {
            let (engine, reason) = said.files;
            assert_eq!(engine, "io_uring", "{reason}");
        }
    }

    /// By the system, or by a sandbox around this test.
    fn io_uring_is_refused() -> bool {
        // SAFETY: makes nothing, since there are no parameters to read.
        let made = unsafe {
            libc::syscall(
                libc::SYS_io_uring_setup,
                1,
                std::ptr::null::<libc::c_void>(),
            )
        };
        assert_eq!(made, -1);
        let errno = std::io::Error::last_os_error().raw_os_error();
        errno != Some(libc::EFAULT)
    }

    #[test]
    fn where_io_uring_is_refused_files_are_performed_by_threads() {
        let name = "where_io_uring_is_refused_files_are_performed_by_threads";
        if let Some(said) = under(name, &as_in_docker()) {
            let (engine, reason) = said.files;
            assert_eq!(engine, "threads");
            assert!(reason.contains("not permitted"), "{reason}");
        }
    }

    #[test]
    fn where_io_uring_is_unknown_files_are_performed_by_threads() {
        let name = "where_io_uring_is_unknown_files_are_performed_by_threads";
        let as_in_podman = profile().refusing(&IO_URING, libc::ENOSYS);
        if let Some(said) = under(name, &as_in_podman) {
            let (engine, reason) = said.files;
            assert_eq!(engine, "threads");
            assert!(reason.contains("the kernel has none"), "{reason}");
        }
    }

    #[test]
    fn under_the_profile_blocked_workers_are_noticed_by_perf_events() {
        let name = "under_the_profile_blocked_workers_are_noticed_by_perf_events";
        if std::env::var_os(INSIDE).is_none() && perf_events_are_refused() {
            eprintln!("SKIPPED: perf events are refused here, profile or not");
            return;
        }
        if let Some(said) = under(name, &profile()) {
            let (notice, reason) = said.notice;
            assert_eq!(notice, "perf events", "{reason}");
        }
    }

    #[test]
    fn where_perf_events_are_refused_blocked_workers_are_noticed_by_their_states() {
        let name = "where_perf_events_are_refused_blocked_workers_are_noticed_by_their_states";
        for errno in [libc::EPERM, libc::EACCES, libc::ENOSYS] {
            if let Some(said) = under(name, &profile().refusing(&["perf_event_open"], errno)) {
                let (notice, reason) = said.notice;
                assert_eq!(notice, "thread states", "{reason}");
                assert!(reason.starts_with("perf events are refused: "), "{reason}");
                return;
            }
        }
    }

    /// By the system, or by a sandbox around this test.
    fn perf_events_are_refused() -> bool {
        let by_perf_events = overlapped::CompletionPort::<(), ()>::builder()
            .notice_blocked(overlapped::Notice::PerfEvents);
        by_perf_events.build().is_err()
    }

    #[test]
    fn where_exact_waits_are_refused_timers_expire() {
        let name = "where_exact_waits_are_refused_timers_expire";
        under(name, &without_exact_waits(libc::EPERM));
    }

    #[test]
    fn where_exact_waits_are_unknown_timers_expire() {
        let name = "where_exact_waits_are_unknown_timers_expire";
        under(name, &without_exact_waits(libc::ENOSYS));
    }

    fn without_alarms() -> Profile {
        profile().refusing(&["timerfd_create", "timerfd_settime"], libc::EPERM)
    }

    fn all() -> [Profile; 5] {
        [
            profile(),
            without_alarms(),
            as_in_docker(),
            without_exact_waits(libc::EPERM),
            without_exact_waits(libc::ENOSYS),
        ]
    }

    fn serve(profile: &Profile, args: &[&str]) -> Server {
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args);
        command.stdout(Stdio::piped());
        profile.confine(&mut command);
        support::start(command)
    }

    #[test]
    fn under_each_filter_the_server_echoes() {
        for profile in all() {
            let more = [
                "--mode=echo",
                "--listen=localhost:0",
                "--verbose",
                "--log-format=json",
                "--idle-timeout=100ms",
                "--max-connections=3",
                "--ports=2",
                "--workers=3",
                "--concurrency=2",
                "--listen=[::1]:0",
            ];
            // Where there is no IPv6 the last one is left out.
            let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
            let most = more.len() - usize::from(!has_ipv6);
            for args in [&more[..1], &more[..most]] {
                let server = serve(&profile, args);
                for _ in 0..5 {
                    let mut client = server.connect();
                    check_echo(&mut client, &[7; 100_000]);
                    assert_eq!(finish(&mut client), b"");
                }
                if args.len() > 1 {
                    let _idle = server.connect();
                    server.wait_for_log("idle");
                }
                server.terminate().assert_fine();
            }
        }
    }

    /// Where the control socket is by itself, for a server and for who asks it.
    struct Runtime(PathBuf);

    impl Runtime {
        fn new(name: &str) -> Self {
            // Short enough for the name of a socket.
            let name = format!("overlapped-seccomp-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Runtime(path)
        }

        fn serve(&self, profile: &Profile) -> Server {
            let mut command = Command::new(PROGRAM);
            command.args(["--listen", "127.0.0.1:0", "--mode", "echo"]);
            command.env("XDG_RUNTIME_DIR", &self.0);
            command.stdout(Stdio::null());
            profile.confine(&mut command);
            support::start(command)
        }

        fn sockets(&self) -> usize {
            std::fs::read_dir(self.0.join("overlapped")).map_or(0, Iterator::count)
        }
    }

    impl Drop for Runtime {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn under_each_filter_a_server_can_be_looked_at() {
        for (number, profile) in all().iter().enumerate() {
            let runtime = Runtime::new(&number.to_string());
            let server = runtime.serve(profile);
            check_echo(&mut server.connect(), b"some words");
            let began = std::time::Instant::now();
            while runtime.sockets() == 0 {
                assert!(began.elapsed() < support::WATCHDOG, "there is no socket");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            let mut command = Command::new(PROGRAM);
            command.arg("top").env("XDG_RUNTIME_DIR", &runtime.0);
            profile.confine(&mut command);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{output:?}");
            assert!(said.contains("mode echo"), "{said}");
            server.terminate().assert_fine();
            assert_eq!(runtime.sockets(), 0, "it is removed at the end");
        }
    }

    #[test]
    fn without_the_calls_of_the_control_socket_there_is_none() {
        for (name, calls) in [
            ("directory", ["mkdir", "mkdirat"]),
            ("mode", ["chmod", "fchmodat"]),
        ] {
            let runtime = Runtime::new(name);
            let server = runtime.serve(&profile().refusing(&calls, libc::EPERM));
            let line = server.wait_for_log("cannot attach");
            assert!(line.contains("not permitted"), "{line}");
            check_echo(&mut server.connect(), b"served");
            server.terminate().assert_fine();
        }
    }

    #[test]
    fn under_each_filter_the_server_prints() {
        for profile in all() {
            for args in [&[][..], &["--prefix", "--ports=2"]] {
                let mut server = serve(&profile, args);
                let printed = server.collect();
                let mut client = server.connect();
                client.write_all(b"hello\n").unwrap();
                assert_eq!(finish(&mut client), b"");
                server.terminate().assert_fine();
                let printed = String::from_utf8(printed.join().unwrap()).unwrap();
                assert!(printed.ends_with("hello\n"), "{printed}");
                assert_eq!(printed.starts_with("hello"), args.is_empty());
            }
        }
    }

    #[test]
    fn under_each_filter_the_server_says_what_it_can_do() {
        for profile in all() {
            for word in ["--help", "man"] {
                let mut command = Command::new(PROGRAM);
                command.arg(word);
                profile.confine(&mut command);
                let output = command.output().unwrap();
                assert!(output.status.success() && !output.stdout.is_empty());
            }
        }
    }

    /// The first line of the log says who serves the sockets, and why.
    #[test]
    fn an_exclusive_port_is_served_by_io_uring_or_falls_back_with_the_reason() {
        if io_uring_is_refused() {
            eprintln!("SKIPPED: io_uring is refused here, profile or not");
            return;
        }
        for (profile, engine, why) in [
            (profile(), "io_uring", "asked for"),
            (as_in_docker(), "epoll", "the system refuses io_uring"),
        ] {
            let server = serve(&profile, &["--mode=echo", "--engine=uring-or-epoll"]);
            let line = server.wait_for_log("engine");
            assert!(line.contains(&format!("engine {engine} (")), "{line}");
            assert!(line.contains(why), "{line}");
            let mut client = server.connect();
            check_echo(&mut client, &[7; 100_000]);
            assert_eq!(finish(&mut client), b"");
            server.terminate().assert_fine();
        }
    }

    #[test]
    fn an_exclusive_port_is_refused_with_the_reason() {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0", "--engine=uring"]);
        as_in_docker().confine(&mut command);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("the system refuses io_uring"), "{said}");
    }

    /// A filter that forbids what the server cannot do without stops it: the tests above would see
    /// it.
    #[test]
    fn a_filter_is_installed_and_bites() {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0"]);
        profile()
            .refusing(&["epoll_create1"], libc::EPERM)
            .confine(&mut command);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("not permitted"), "{said}");
    }
}
