#!/usr/bin/env python3
"""100,000 connections against a service that ends at once: what does the supervisor pay, and is the next good version served?

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/flood/flood.py [connections]

One row for a service that starts on demand and exits with 0, one for it exiting with 1, one for one instance a connection. CPU is that of
the supervisor alone (schedstat), in per cent of one core while the flood lasted. Starts are counted by the program itself. The last line is
the verdict, and the exit code 1 if it is FAIL: a connection was refused, nobody was served by the good version, there were more starts than
trigger_limit allows in that time, or they cost more than 2 ms each and a hundredth of the time.
"""
import argparse
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("count", type=int, nargs="?", default=100_000, help="connections; default 100000")
COUNT = parser.parse_args().count
LAUNCHD = os.environ.get("LAUNCHD_CS", "artifacts/native/launchd-cs").split()
LAUNCHD = [os.path.abspath(LAUNCHD[0]) if "/" in LAUNCHD[0] else LAUNCHD[0], *LAUNCHD[1:]]
SERVE = r"""
import os, socket
listener = socket.socket(fileno=3)
listener.setblocking(True)
while True:
    connection, _ = listener.accept()
    try:
        connection.sendall(b"served\n")
    except OSError:
        pass
    connection.close()
"""

# What the program does, the keys of its service, and how many starts are allowed in how many seconds.
KINDS = {
    "demand, exits 0": ("exit 0", 'start = "demand"', 20, 2),
    "demand, exits 1": ("exit 1", 'start = "demand"\nstart_limit = { burst = 5, interval = "3s" }', 5, 3),
    "connection, exits 0": ("exit 0", 'start = "connection"', 200, 2),
}
CPU_PER_START, CPU_BESIDE = 0.002, 0.01


def progress(text):
    """On a terminal one line that changes."""
    if sys.stderr.isatty():
        print(f"\r{text:78}", end="", file=sys.stderr, flush=True)


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def flood(name, port, count):
    """Connects and goes away at once, 400 at a time. Returns what became of the attempts."""
    made = refused = unanswered = 0
    linger = struct.pack("ii", 1, 0)
    while made + refused + unanswered < count:
        batch = {}
        poll = select.poll()
        for _ in range(min(400, count - made - refused - unanswered)):
            s = socket.socket()
            s.setblocking(False)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            s.connect_ex(("127.0.0.1", port))
            batch[s.fileno()] = s
            poll.register(s, select.POLLOUT)
        until = time.monotonic() + 0.05
        left = dict(batch)
        while left and (wait := until - time.monotonic()) > 0:
            for number, _ in poll.poll(wait * 1000):
                error = left.pop(number).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                poll.unregister(number)
                made += error == 0
                refused += error == errno.ECONNREFUSED
                unanswered += error not in (0, errno.ECONNREFUSED)
        unanswered += len(left)
        for s in batch.values():
            s.close()
        progress(f"{name}: {made + refused + unanswered:,} of {count:,} connections, {made:,} made")
    return made, refused, unanswered


def ask(port, patience):
    """One client that waits: True when it was served."""
    with socket.socket() as s:
        s.settimeout(patience)
        try:
            s.connect(("127.0.0.1", port))
            return s.recv(16) == b"served\n"
        except OSError:
            return False


def run(name, script, keys, burst, interval):
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="lcs-flood-") as folder:
        serve = os.path.join(folder, "serve.py")
        with open(serve, "w") as f:
            f.write(SERVE if "connection" not in keys else 'import socket; socket.socket(fileno=3).sendall(b"served\\n")')
        with open(os.path.join(folder, "flood.toml"), "w") as f:
            f.write(f"""
supervisor.runtime_directory = "run"
supervisor.log_level = "error"
[sockets.port]
listen = "tcp://127.0.0.1:{port}"
[services.app]
command = ["/bin/sh", "-c", "test -e good && exec {sys.executable} serve.py; printf . >> starts; {script}"]
sockets = ["port"]
{keys}
""")
        supervisor = subprocess.Popen([*LAUNCHD, "run", "flood.toml"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not os.path.exists(os.path.join(folder, "run", "control.sock")):
                time.sleep(0.005)
            used, began = cpu_seconds(supervisor.pid), time.monotonic()
            made, refused, unanswered = flood(name, port, COUNT)
            took = time.monotonic() - began
            starts = os.path.getsize(os.path.join(folder, "starts"))
            used = cpu_seconds(supervisor.pid) - used
            rest, began = cpu_seconds(supervisor.pid), time.monotonic()
            time.sleep(3)
            rest = (cpu_seconds(supervisor.pid) - rest) / (time.monotonic() - began)
            open(os.path.join(folder, "good"), "w").close()
            progress(f"{name}: waits until the good version serves")
            began = time.monotonic()
            served = False
            while not served and time.monotonic() - began < 60:
                served = ask(port, 15)
            waited = time.monotonic() - began
        finally:
            supervisor.send_signal(signal.SIGTERM)
            code = supervisor.wait(30)
    progress("")
    progress("\r")
    # Two windows more than went by: the one that had begun before, and the one that has begun.
    allowed = burst * (int(took / interval) + 2)
    print(f"{name:20} connections={made} refused={refused} unanswered={unanswered} seconds={took:.1f} starts={starts} allowed={allowed} "
          f"cpu={100 * used / took:.1f}% cpu_after={100 * rest:.1f}% served={served} after_s={waited:.1f} exit={code}", flush=True)
    wrong = {
        f"{refused} connections were refused": refused > 0,
        "the good version served nobody within a minute": not served,
        f"{starts} starts are more than {allowed}": starts > allowed,
        f"{used:.2f} s of CPU are more than {starts} starts cost": used > CPU_PER_START * starts + CPU_BESIDE * took,
        f"the supervisor ended with {code}": code != 0,
    }
    return [f"{name}: {what}" for what, is_so in wrong.items() if is_so]


if __name__ == "__main__":
    found = [what for name, kind in KINDS.items() for what in run(name, *kind)]
    print(f"verdict: FAIL: {'; '.join(found)}" if found else
          f"verdict: PASS: {COUNT:,} connections each, none refused; starts and CPU within trigger_limit; the next good version served by itself")
    sys.exit(1 if found else 0)
