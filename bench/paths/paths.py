#!/usr/bin/env python3
"""Removes the path of a Unix listener again and again, while clients connect: how long nobody can, and what it costs.

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/paths/paths.py [--removals N] [--clients N] [--pause MS]

First N removals, each `--pause` milliseconds after the path was back from the one before. Printed are the median, the 99th percentile and the
longest time that the path was away (it is looked for every 0.1 ms, so no time is known more finely), the longest time in which a client that
tried without pause was refused, the supervisor's share of one processor, and its descriptors before and after.
Then somebody removes the path in a loop for five seconds, whether it is there or not: the supervisor's share of one processor, and the median of
round trips to a second service meanwhile, beside that of a quiet second. Exit code 1: a descriptor leaked, or a request got a wrong answer.
"""
import argparse
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--removals", type=int, default=10_000, help="default 10000")
parser.add_argument("--clients", type=int, default=2, help="default 2")
parser.add_argument("--pause", type=float, default=6, help="milliseconds from its return to the next removal; default 6")
args = parser.parse_args()
LAUNCHD = os.path.abspath(os.environ.get("LAUNCHD_CS", "artifacts/native/launchd-cs"))
SERVER = "import socket\ns=socket.socket(fileno=3)\nwhile True:\n c,_=s.accept(); c.sendall(b'ok'); c.close()"

scratch = tempfile.TemporaryDirectory(prefix="launchd-paths-")
os.chdir(scratch.name)
with open("launchd.toml", "w") as f:
    f.write('[supervisor]\nruntime_directory = "run"\nlog_level = "error"\n')
    for name in ("web", "other"):
        f.write(f"[sockets.{name}]\nlisten = \"unix:{name}.sock\"\n[services.{name}]\nsockets = [\"{name}\"]\n"
                f"command = [\"{sys.executable}\", \"-c\", '''{SERVER}''']\nupdate = \"replace\"\n")


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(path):
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(path)
        return c.recv(2)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


supervisor = subprocess.Popen([LAUNCHD, "run", "launchd.toml"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    end = time.monotonic() + 20
    while True:
        try:
            assert ask("web.sock") == b"ok" and ask("other.sock") == b"ok"
            break
        except OSError:
            if time.monotonic() > end:
                sys.exit("did not come up")
            time.sleep(0.01)
    # Second names are made beside the loop.
    while not os.path.isdir("run/links") or len(os.listdir("run/links")) < 2:
        time.sleep(0.01)
    descriptors = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
    over = multiprocessing.Event()
    gaps, served, wrong = (multiprocessing.Array(kind, args.clients, lock=False) for kind in "dii")

    # Processes, because threads of Python wait for each other up to five milliseconds at a time.
    def client(number):
        refused = None
        while not over.is_set():
            try:
                wrong[number] += ask("web.sock") != b"ok"
                served[number] += 1
                refused = None
            except (FileNotFoundError, ConnectionRefusedError):
                refused = refused or time.monotonic()
                gaps[number] = max(gaps[number], time.monotonic() - refused)
            except ConnectionResetError:
                wrong[number] += 1

    threads = [multiprocessing.Process(target=client, args=(n,)) for n in range(args.clients)]
    for t in threads:
        t.start()
    away, begun, used = [], time.monotonic(), cpu(supervisor.pid)
    for i in range(args.removals):
        removed = time.monotonic()
        os.unlink("web.sock")
        while not os.path.exists("web.sock"):
            time.sleep(0.0001)
        away.append(time.monotonic() - removed)
        time.sleep(args.pause / 1000)
    taken, used = time.monotonic() - begun, cpu(supervisor.pid) - used
    over.set()
    for t in threads:
        t.join()
    time.sleep(0.5)
    after = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
    print(f"removals={args.removals} seconds={taken:.1f} away_ms median={statistics.median(away) * 1e3:.2f} p99={percentile(away, .99) * 1e3:.2f} "
          f"max={max(away) * 1e3:.2f} refused_ms max={max(gaps) * 1e3:.2f} served={sum(served)} wrong={sum(wrong)} cpu={100 * used / taken:.1f}% "
          f"descriptors={descriptors}->{after}")

    def trips(seconds):
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.monotonic()
            ask("other.sock")
            times.append(time.monotonic() - start)
            time.sleep(0.002)
        return statistics.median(times) * 1e3

    quiet = trips(1)
    remover = subprocess.Popen([sys.executable, "-c", "import os,time\nwhile True:\n try: os.unlink('web.sock')\n except OSError: time.sleep(.0002)"])
    used, begun = cpu(supervisor.pid), time.monotonic()
    busy = trips(5)
    used, taken = cpu(supervisor.pid) - used, time.monotonic() - begun
    remover.kill()
    remover.wait()
    print(f"removed in a loop: cpu={100 * used / taken:.1f}% other_ms={busy:.2f} quiet_ms={quiet:.2f}")
    status = 0 if after <= descriptors + 2 and sum(wrong) == 0 else 1
finally:
    supervisor.terminate()
    supervisor.wait(20)
sys.exit(status)
