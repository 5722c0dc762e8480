//! From a profile in the format of Docker and Podman to the filter that the kernel runs.
//!
//! Container runtimes leave this to libseccomp. Here it is done once more, in a form that can be
//! read: for each rule a comparison of the call's number, perhaps of arguments, and a verdict.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;

/// A profile: rules in order, and what becomes of calls that none is about.
#[derive(Clone)]
pub struct Profile {
    rules: Vec<Rule>,
    otherwise: u32,
}

#[derive(Clone)]
struct Rule {
    names: Vec<String>,
    conditions: Vec<Condition>,
    verdict: u32,
}

/// That an argument of the call has this value in these bits.
#[derive(Clone, Copy)]
struct Condition {
    argument: u32,
    mask: u64,
    value: u64,
}

impl Profile {
    /// The one of `docs`.
    pub fn of_the_project() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/overlapped.seccomp.json"
        );
        let text = std::fs::read_to_string(path).unwrap();
        Self::read(&serde_json::from_str(&text).unwrap())
    }

    fn read(profile: &Value) -> Self {
        let default_errno = profile["defaultErrnoRet"].as_u64().unwrap();
        let verdict = |action: &Value, errno: &Value| match action.as_str().unwrap() {
            "SCMP_ACT_ALLOW" => libc::SECCOMP_RET_ALLOW,
            "SCMP_ACT_ERRNO" => refusal(errno.as_u64().unwrap_or(default_errno) as i32),
            other => panic!("{other} is none of this profile's actions"),
        };
        let rules = profile["syscalls"].as_array().unwrap().iter().map(|rule| {
            assert!(rule["includes"].is_null() && rule["excludes"].is_null());
            let names = rule["names"].as_array().unwrap().iter();
            let conditions = rule["args"].as_array().into_iter().flatten();
            Rule {
                names: names.map(|name| name.as_str().unwrap().into()).collect(),
                conditions: conditions.map(Condition::read).collect(),
                verdict: verdict(&rule["action"], &rule["errnoRet"]),
            }
        });
        Profile {
            rules: rules.collect(),
            otherwise: verdict(&profile["defaultAction"], &Value::Null),
        }
    }

    /// The same, but these calls fail.
    pub fn refusing(&self, names: &[&str], errno: i32) -> Self {
        let mut profile = self.clone();
        let rule = Rule {
            names: names.iter().map(|&name| name.into()).collect(),
            conditions: Vec::new(),
            verdict: refusal(errno),
        };
        // The first rule that fits decides.
        profile.rules.insert(0, rule);
        profile
    }

    /// The names that are no calls of this architecture.
    pub fn unknown(&self) -> Vec<&str> {
        let names = self.rules.iter().flat_map(|rule| &rule.names);
        let unknown = names.filter(|name| number(name).is_none());
        unknown.map(String::as_str).collect()
    }

    /// Puts the process that the command starts under this filter, as container runtimes do: before
    /// it executes its program.
    pub fn confine(&self, command: &mut Command) {
        let program = self.compile();
        let install = move || {
            let filter = libc::sock_fprog {
                len: program.len() as u16,
                filter: program.as_ptr().cast_mut(),
            };
            // SAFETY: the second call reads the program, which is as long as said; neither needs
            // memory, so they can be made between fork and exec.
            let refused = unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                    || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) != 0
            };
            if refused {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        };
        // SAFETY: `install` makes two system calls, and touches no lock and no allocator.
        unsafe { command.pre_exec(install) };
    }

    fn compile(&self) -> Vec<libc::sock_filter> {
        let mut program = vec![
            load(ARCHITECTURE_AT),
            jump(AUDIT_ARCH_X86_64, 1, 0),
            verdict(libc::SECCOMP_RET_KILL_PROCESS),
            load(NUMBER_AT),
        ];
        for rule in &self.rules {
            for number in rule.names.iter().filter_map(|name| number(name)) {
                let mut body = Vec::new();
                for condition in &rule.conditions {
                    condition.compile(&mut body);
                }
                // A condition that does not hold leads past the verdict.
                let end = body.len() + 1;
                for (at, step) in body.iter_mut().enumerate() {
                    if step.jf == ELSEWHERE {
                        step.jf = (end - at - 1) as u8;
                    }
                }
                body.push(verdict(rule.verdict));
                if !rule.conditions.is_empty() {
                    body.push(load(NUMBER_AT));
                }
                program.push(jump(number as u32, 0, body.len() as u8));
                program.extend(body);
            }
        }
        program.push(verdict(self.otherwise));
        program
    }
}

impl Condition {
    fn read(condition: &Value) -> Self {
        let number = |name: &str| condition[name].as_u64().unwrap();
        let (mask, value) = match condition["op"].as_str().unwrap() {
            "SCMP_CMP_EQ" => (u64::MAX, number("value")),
            "SCMP_CMP_MASKED_EQ" => (number("value"), number("valueTwo")),
            other => panic!("{other} is none of this profile's comparisons"),
        };
        Condition {
            argument: number("index") as u32,
            mask,
            value,
        }
    }

    /// Compares both halves of the argument.
    fn compile(self, into: &mut Vec<libc::sock_filter>) {
        for half in [0, 1] {
            let part = |whole: u64| (whole >> (32 * half)) as u32;
            into.push(load(ARGUMENTS_AT + 8 * self.argument + 4 * half));
            into.push(statement(
                libc::BPF_ALU | libc::BPF_AND | libc::BPF_K,
                part(self.mask),
            ));
            into.push(jump(part(self.value), 0, ELSEWHERE));
        }
    }
}

/// Where things are in what the kernel gives to a filter (`seccomp_data`).
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// 64 bits, little endian, and the number of the machine.
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// Stands for a distance that is not known yet.
const ELSEWHERE: u8 = u8::MAX;

fn refusal(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

fn load(at: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at)
}

fn verdict(value: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, value)
}

/// Skips so many statements if what was loaded is `k`, and so many if it is not.
fn jump(k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        jt,
        jf,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k)
    }
}

fn number(name: &str) -> Option<libc::c_long> {
    let mut calls = CALLS.iter();
    calls
        .find(|(call, _)| call.strip_prefix("SYS_") == Some(name))
        .map(|&(_, number)| number)
}

macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

/// The calls of the profile, and those that a test refuses.
const CALLS: &[(&str, libc::c_long)] = calls! {
    SYS_chmod SYS_fchmodat SYS_mkdir SYS_mkdirat SYS_unlink SYS_unlinkat
    SYS_accept4 SYS_access SYS_arch_prctl SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir
    SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_clone SYS_clone3 SYS_close
    SYS_connect SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_epoll_wait
    SYS_eventfd2 SYS_execve SYS_exit SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fcntl
    SYS_fdatasync SYS_fstat SYS_fstatfs SYS_fsync SYS_futex SYS_getcwd SYS_getdents64
    SYS_getegid SYS_geteuid SYS_getgid SYS_getpeername SYS_getpid SYS_getppid SYS_getrandom
    SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_io_uring_enter
    SYS_io_uring_register SYS_io_uring_setup SYS_ioctl SYS_listen SYS_lseek SYS_madvise SYS_mmap
    SYS_mprotect SYS_mremap SYS_munmap SYS_nanosleep SYS_newfstatat SYS_open SYS_openat
    SYS_perf_event_open SYS_pipe2 SYS_poll SYS_ppoll SYS_prctl SYS_pread64 SYS_preadv2
    SYS_prlimit64 SYS_pwrite64 SYS_pwritev2 SYS_read SYS_readlink SYS_readlinkat SYS_readv
    SYS_recvfrom SYS_recvmsg SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending
    SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigtimedwait SYS_sched_getaffinity
    SYS_sched_yield SYS_sendfile SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_set_robust_list
    SYS_set_tid_address SYS_setgid SYS_setgroups SYS_setsockopt SYS_setuid SYS_shutdown
    SYS_sigaltstack SYS_socket SYS_socketpair SYS_statx SYS_tgkill SYS_timerfd_create
    SYS_timerfd_settime SYS_tkill SYS_uname SYS_write
    SYS_writev
};
