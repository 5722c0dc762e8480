"""What an echo costs a server that was written for Windows: native, under Wine, and beside other servers.

    python3 bench/win32/compare.py [--rounds N] [--seconds T] [--connections 10,100] [--only SERVERS] [--awake]

It compiles `echo.c` of the Win32 face's tests and `plain.c` of this directory, once with overlapped-cc and once
with mingw, and runs them, the latter under Wine, beside `overlapped_echo` and `epoll_plain`. In each round all
servers are started, and get the load one after the other, in an order that is shuffled. The CPU time is that of
all processes of the server's session, and of its Wine's wineserver; the load generator's is not in it.

Needs what `cargo build --release` builds in this workspace's parent (`-p overlapped-win32`) and here. Without
mingw or Wine (WINEPREFIX is heeded) it says so and compares the rest.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent
BUILT = BENCH / "target/release"
FACE = BENCH.parent / "crates/overlapped-win32"
WRAPPER = BENCH.parent / "target/release/overlapped-cc"
MADE = BENCH / "target/win32"
SOURCES = {"echo": FACE / "tests/programs/echo.c", "plain": HERE / "plain.c"}


def environment():
    """Wine's, which others do not mind."""
    own = dict(os.environ, WINEDEBUG="-all")
    own.setdefault("WINEPREFIX", str(MADE / "wine"))
    own.pop("DISPLAY", None)
    return own


def build():
    """The servers by name, each a command."""
    MADE.mkdir(parents=True, exist_ok=True)
    wine = all(map(shutil.which, ["x86_64-w64-mingw32-gcc", "wine"]))
    if not wine:
        print("no mingw or no Wine: what runs under it is left out", file=sys.stderr)
    for name, source in SOURCES.items():
        subprocess.run([WRAPPER, "-O2", "-o", MADE / name, source], check=True)
        if wine:
            command = ["x86_64-w64-mingw32-gcc", "-O2", "-w", "-static", "-D_WIN32_WINNT=0x0601"]
            command += ["-I", FACE / "include/spellings", "-o", MADE / f"{name}.exe", source, "-lws2_32"]
            subprocess.run(command, check=True)
    servers = {
        "epoll-1": [BUILT / "epoll_plain"],
        "epoll-2": [BUILT / "epoll_plain", "--workers", "2"],
        "rust-1": [BUILT / "overlapped_echo", "--workers", "1"],
        "plain-1": [MADE / "plain", "1"],
        "rust-4": [BUILT / "overlapped_echo", "--workers", "4"],
        "plain-4": [MADE / "plain", "4"],
        "echo": [MADE / "echo"],
    }
    if wine:
        servers["plain-1-wine"] = ["wine", MADE / "plain.exe", "1"]
        servers["plain-4-wine"] = ["wine", MADE / "plain.exe", "4"]
        servers["echo-wine"] = ["wine", MADE / "echo.exe"]
    return servers


# Native against native, what the Win32 face adds; native against Wine, what it saves.
RATIOS = [
    ("plain-1", "rust-1"),
    ("plain-4", "rust-4"),
    ("echo", "rust-4"),
    ("plain-1", "epoll-1"),
    ("plain-4", "epoll-2"),
    ("echo", "epoll-2"),
    ("plain-1-wine", "plain-1"),
    ("plain-4-wine", "plain-4"),
    ("echo-wine", "echo"),
]


class Server:
    def __init__(self, command):
        # Whoever is to end with its standard input ends when this one closes.
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment()
        )
        self.wine = command[0] == "wine"
        said = self.child.stdout.readline().split()
        if said[:1] != ["listening"]:
            raise SystemExit(f"{command} does not listen but says {said}")
        self.address = f"127.0.0.1:{said[-1].rpartition(':')[2]}"

    def session(self):
        return [pid for pid in everybody() if of_process(os.getsid, pid) == self.child.pid]

    def cpu_ns(self):
        """At rest: while a thread runs, the kernel does not know exactly."""
        processes = self.session()
        if self.wine:
            # The wineserver has a session of its own, and works in a directory that is named after the prefix.
            place = wineserver_directory()
            servers = [pid for pid in everybody() if str(of_process(os.readlink, f"/proc/{pid}/cwd")).endswith(place)]
            if not servers:
                raise SystemExit("the wineserver is not found")
            processes = {*processes, *servers}
        before = None
        for _ in range(20):
            now = sum(map(cpu_ns, processes))
            if now == before:
                break
            before = now
            time.sleep(0.001)
        return now

    def end(self):
        self.child.stdin.close()
        for pid in self.session():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait()


def everybody():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def of_process(what, of):
    """None if the process has ended, or is not to be looked at."""
    try:
        return what(of)
    except OSError:
        return None


def wineserver_directory():
    """The end of its name."""
    status = os.stat(environment()["WINEPREFIX"])
    return f"/server-{status.st_dev:x}-{status.st_ino:x}"


def cpu_ns(pid):
    """The kernel's clock of a process: all threads, those that have ended too."""
    return of_process(time.clock_gettime_ns, (~pid << 3) | 2) or 0


def load(server, connections, options, seed):
    """The server's CPU time for each request in microseconds, and requests per second."""
    command = [BUILT / "load", server.address, "--handshake", "--connections", str(connections)]
    command += ["--seconds", str(options.seconds), "--warmup", "0.2", "--seed", str(seed)]
    command += ["--awake"] * options.awake
    generator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def passed(word):
        said = generator.stdout.readline().strip()
        if said != word:
            raise SystemExit(f"the load generator says {said!r} and not {word!r}")
        return server.cpu_ns()

    before = passed("measuring")
    generator.stdin.write("\n")
    generator.stdin.flush()
    after = passed("measured")
    generator.stdin.write("\n")
    generator.stdin.flush()
    report = json.loads(generator.stdout.readline())
    if generator.wait() != 0:
        raise SystemExit("the load generator failed")
    return (after - before) / 1e3 / report["requests"], report["req_per_s"]


def interval(values, seed):
    """The median, and a bootstrap interval of 95 %."""
    chance = random.Random(seed)
    middles = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(2000))
    return f"{statistics.median(values):.2f} [{middles[50]:.2f}, {middles[1949]:.2f}]"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--connections", default="10,100")
    parser.add_argument("--only", help="servers by name, separated by commas")
    parser.add_argument("--awake", action="store_true", help="the load generator does not sleep: for one thread")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts = [int(count) for count in options.connections.split(",")]
    commands = build()
    if options.only:
        commands = {name: commands[name] for name in options.only.split(",")}
    chance = random.Random(options.seed)
    rows = {(name, count): [] for name in commands for count in counts}
    for number in range(options.rounds):
        servers = {}
        try:
            for name, command in commands.items():
                servers[name] = Server(command)
            for count in counts:
                for name in chance.sample(list(commands), len(commands)):
                    rows[name, count].append(load(servers[name], count, options, chance.randrange(1 << 31)))
        finally:
            for server in servers.values():
                server.end()
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)

    for count in counts:
        print(f"\n### 64-byte echo, {count} connections\n")
        print("| server | CPU us/req | req/s |\n|---|--:|--:|")
        for name in commands:
            cost, rate = zip(*rows[name, count])
            print(f"| {name} | {statistics.median(cost):.2f} | {statistics.median(rate):.0f} |")
        print("\n| CPU per request | ratio |\n|---|--:|")
        for one, other in RATIOS:
            if one in commands and other in commands:
                pairs = zip(rows[one, count], rows[other, count])
                print(f"| {one} / {other} | {interval([a[0] / b[0] for a, b in pairs], options.seed)} |")
    print(f"\nMedians of {options.rounds} rounds of {options.seconds} s; ratios are medians of those within a round.")


main()
