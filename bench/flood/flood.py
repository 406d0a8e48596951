#!/usr/bin/env python3
"""100,000 connections against a service that ends at once: what does the supervisor pay, and is the next good version served?

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/flood/flood.py [connections]

One row for a service that starts on demand and exits with 0, one for it exiting with 1, one for one instance a connection. CPU is that of
the supervisor alone (schedstat), in per cent of one core while the flood lasted. Exit code 1 if a port was closed or nobody was served.
"""
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

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
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

KINDS = {
    "demand, exits 0": ("exit 0", 'start = "demand"'),
    "demand, exits 1": ("exit 1", 'start = "demand"\nstart_limit = { burst = 5, interval = "3s" }'),
    "connection, exits 0": ("exit 0", 'start = "connection"'),
}


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


def flood(port, count):
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


def run(name, script, keys):
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
command = ["/bin/sh", "-c", "test -e good && exec {sys.executable} serve.py; {script}"]
sockets = ["port"]
{keys}
""")
        supervisor = subprocess.Popen([*LAUNCHD, "run", "flood.toml"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not os.path.exists(os.path.join(folder, "run", "control.sock")):
                time.sleep(0.005)
            used, began = cpu_seconds(supervisor.pid), time.monotonic()
            made, refused, unanswered = flood(port, COUNT)
            took = time.monotonic() - began
            used = cpu_seconds(supervisor.pid) - used
            rest, began = cpu_seconds(supervisor.pid), time.monotonic()
            time.sleep(3)
            rest = (cpu_seconds(supervisor.pid) - rest) / (time.monotonic() - began)
            open(os.path.join(folder, "good"), "w").close()
            began = time.monotonic()
            served = False
            while not served and time.monotonic() - began < 60:
                served = ask(port, 15)
            waited = time.monotonic() - began
        finally:
            supervisor.send_signal(signal.SIGTERM)
            code = supervisor.wait(30)
    print(f"{name:20} connections={made} refused={refused} unanswered={unanswered} seconds={took:.1f} cpu={100 * used / took:.1f}% "
          f"cpu_after={100 * rest:.1f}% served={served} after_s={waited:.1f} exit={code}", flush=True)
    return served and refused == 0 and code == 0


if __name__ == "__main__":
    sys.exit(0 if all([run(name, *kind) for name, kind in KINDS.items()]) else 1)
