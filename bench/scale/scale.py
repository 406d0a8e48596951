#!/usr/bin/env python3
"""N demand services with a socket each in one file: start, memory, wake-ups while idle, and the latency of an activation.

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/scale/scale.py [N]

Start is from exec until the last socket takes connections and the control socket answers; memory is the PSS of all its processes;
wake-ups are the voluntary context switches of all its threads in ten idle seconds; latency is the median of 50 activations of services
that had not run (connect, one byte each way, of cat), for N and for 50. The last line is the verdict, and the exit code 1 if it is FAIL:
start 1 s or more, over 40 MB, a wake-up, or an activation that takes a quarter longer among N services than among 50.
"""
import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("count", type=int, nargs="?", default=10_000, help="services; default 10000")
N = parser.parse_args().count
LAUNCHD = os.environ.get("LAUNCHD_CS", "artifacts/native/launchd-cs").split()
LAUNCHD = [os.path.abspath(LAUNCHD[0]) if "/" in LAUNCHD[0] else LAUNCHD[0], *LAUNCHD[1:]]
TRIES = 50


def progress(text):
    """On a terminal one line that changes."""
    if sys.stderr.isatty():
        print(f"\r{text:78}\r", end="", file=sys.stderr, flush=True)


def family(pid):
    below = [pid]
    for p in below:
        for task in os.listdir(f"/proc/{p}/task"):
            with open(f"/proc/{p}/task/{task}/children") as f:
                below += [int(c) for c in f.read().split()]
    return below


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def switches(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("voluntary"))
    return total


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s


def measure(count):
    with tempfile.TemporaryDirectory(prefix="lcs-scale-", dir="/dev/shm") as folder:
        with open(os.path.join(folder, "scale.toml"), "w") as f:
            f.write('supervisor.runtime_directory = "run"\nsupervisor.log_level = "error"\n')
            # As short as it goes: a file may have 1 MiB.
            f.write('[defaults]\nstart = "connection"\ninput = "socket"\noutput = "socket"\nerror = "null"\n')
            for i in range(count):
                f.write(f'[sockets.s{i}]\nlisten="unix:s/{i}"\n[services.a{i}]\ncommand=["cat"]\nsockets=["s{i}"]\n')
                if i >= TRIES:
                    f.write('start="demand"\n')
        last, control = os.path.join(folder, "s", str(count - 1)), os.path.join(folder, "run", "control.sock")
        progress(f"starting {count:,} services")
        began = time.monotonic()
        supervisor = subprocess.Popen([*LAUNCHD, "run", "scale.toml"], cwd=folder, stdout=subprocess.DEVNULL)
        try:
            while True:
                try:
                    with connect(control) as s:
                        s.sendall(b'{"method":"org.varlink.service.GetInfo"}\0')
                        if s.recv(16):
                            break
                except OSError:
                    if supervisor.poll() is not None:
                        sys.exit(f"the supervisor ended with {supervisor.returncode}")
                    time.sleep(0.001)
            start = time.monotonic() - began
            assert os.path.exists(last)
            time.sleep(1)
            memory = sum(pss_kb(p) for p in family(supervisor.pid))
            progress(f"{count:,} services: idle for ten seconds")
            before = sum(switches(p) for p in family(supervisor.pid))
            time.sleep(10)
            woken = sum(switches(p) for p in family(supervisor.pid)) - before
            progress(f"{count:,} services: {TRIES} activations")
            times = []
            for i in range(TRIES):
                t = time.monotonic()
                with connect(os.path.join(folder, "s", str(i))) as s:
                    s.sendall(b"x")
                    assert s.recv(1) == b"x"
                    times.append(time.monotonic() - t)
        finally:
            supervisor.send_signal(signal.SIGTERM)
            began = time.monotonic()
            code = supervisor.wait(60)
            end = time.monotonic() - began
    progress("")
    latency = 1000 * sorted(times)[TRIES // 2]
    print(f"services={count} start_ms={1000 * start:.0f} pss_kb={memory} wakeups_10s={woken} activation_ms={latency:.2f} "
          f"stop_ms={1000 * end:.0f} exit={code}", flush=True)
    return start, memory, woken, latency, code


if __name__ == "__main__":
    _, _, _, few, _ = measure(TRIES)
    start, memory, woken, many, code = measure(N)
    wrong = {
        f"started in {start:.2f} s": start >= 1,
        f"{memory / 1000:.0f} MB": memory > 40_000,
        f"{woken} wake-ups while idle": woken > 0,
        f"an activation takes {many:.2f} ms, among {TRIES} services {few:.2f}": many > 1.25 * few,
        f"ended with {code}": code != 0,
    }
    found = [what for what, is_so in wrong.items() if is_so]
    print(f"verdict: FAIL: {'; '.join(found)} (load {os.getloadavg()[0]:.1f})" if found else
          f"verdict: PASS: {N:,} demand services started in {start:.2f} s, {memory / 1000:.0f} MB, no wake-up while idle, activation as among {TRIES}")
    sys.exit(1 if found else 0)
