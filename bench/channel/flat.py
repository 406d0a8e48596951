#!/usr/bin/env python3
"""A million requests, stores and notifications from one program: does the supervisor hold what it held before?

    LAUNCHD_CS=artifacts/native/launchd-cs python3 bench/channel/flat.py [OPERATIONS OF EACH KIND]

One row for each kind: operations, how many a second, and what the supervisor holds afterwards, in descriptors and in resident memory, against
what it held after the first hundredth, when everything had run once. The last line is the verdict, and the exit code 1 if it is FAIL: one
descriptor more for any kind, or four megabytes more in the end than in the beginning. Between them the heap may breathe: it is collected when a
megabyte of new objects has come, and gives memory back later.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve()
MOST_GROWTH_KB = 4096
KINDS = ("get", "request", "reopen", "store", "notification", "descriptor in a notification")
CONFIG = """
[supervisor]
runtime_directory = "{run}"
[sockets.http]
listen = "tcp://127.0.0.1:0"
[services.owner]
command = ["{python}", "{script}", "--owner"]
ready = "notify"
share = {{ "*" = ["asking"] }}
[services.asking]
command = ["{python}", "{script}", "--asking", "{count}"]
sockets = ["http"]
ready = "notify"
requires = ["owner"]
request = ["owner/*"]
fd_store = 4
restart = "never"
"""


def import_client():
    sys.path.insert(0, str(HERE.parents[2] / "samples/python"))
    import launchd
    return launchd


def own():
    launchd = import_client()
    channel = launchd.Channel.open()
    channel.publish("memory", os.memfd_create("memory"))
    launchd.notify("READY=1")
    for _ in channel.watch():
        pass


def held(pid):
    with open(f"/proc/{pid}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), resident


def ask(count):
    launchd = import_client()
    channel = launchd.Channel.open()
    memory = os.memfd_create("own")
    launchd.notify("READY=1")

    def close(fds):
        for fd in fds:
            os.close(fd)

    def store():
        channel.store("state", [memory], replace=True)

    def notification(i):
        launchd.notify(f"STATUS={i}", "WATCHDOG=1")
        if i % 100 == 99:
            launchd.barrier()

    def descriptor(i):
        launchd.notify("FDSTORE=1", "FDNAME=kept", fds=[memory])
        launchd.notify("FDSTOREREMOVE=1", "FDNAME=kept")
        if i % 100 == 99:
            launchd.barrier()

    work = {
        "get": lambda i: close(channel.call("Get", {"names": ["http"]})[1]),
        "request": lambda i: os.close(channel.request("owner", "memory")),
        "reopen": lambda i: os.close(channel.request("owner", "memory", mode="reopen")),
        "store": lambda i: store(),
        "notification": notification,
        "descriptor in a notification": descriptor,
    }
    supervisor = os.getppid()
    for kind in KINDS:
        for i in range(count // 100):
            work[kind](i)
        launchd.barrier()
        before = held(supervisor)
        start = time.monotonic()
        for i in range(count):
            work[kind](i)
        launchd.barrier()
        rate = count / (time.monotonic() - start)
        after = held(supervisor)
        print(kind, round(rate), *before, *after, sep="\t", flush=True)
    print("over", flush=True)


def main(count):
    launchd_cs = os.path.abspath(os.environ.get("LAUNCHD_CS", "artifacts/native/launchd-cs"))
    failures = []
    first = last = 0
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "flat.toml")
        config.write_text(CONFIG.format(run=folder + "/run", python=sys.executable, script=HERE, count=count))
        with subprocess.Popen([launchd_cs, "run", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as supervisor:
            print(f"{'operation':30} {'a second':>10} {'descriptors':>16} {'memory, KiB':>18}")
            for line in supervisor.stdout:
                text = line.rstrip("\n").rpartition("│ ")[2]
                fields = text.split("\t")
                if fields[0] == "over":
                    break
                if fields[0] not in KINDS:
                    if "warn" in line or "error" in line or "Error" in line:
                        print(line, end="", file=sys.stderr)
                    continue
                kind, rate, fds, memory, fds_after, memory_after = fields[0], *map(int, fields[1:])
                print(f"{kind:30} {rate:>10,} {fds:>7} → {fds_after:<6} {memory:>8,} → {memory_after:<7,}", flush=True)
                if fds_after > fds:
                    failures.append(f"{kind}: {fds_after - fds} descriptors more")
                first = first or memory
                last = memory_after
            else:
                failures.append("the program ended before it was over")
            if last > first + MOST_GROWTH_KB:
                failures.append(f"{last - first} KiB more in the end")
            supervisor.terminate()
            for _ in supervisor.stdout:
                pass
    print("FAIL: " + "; ".join(failures) if failures else f"PASS: {count:,} of each, no descriptor more, {last - first:,} KiB more")
    return 1 if failures else 0


if __name__ == "__main__":
    if "--owner" in sys.argv:
        own()
    elif "--asking" in sys.argv:
        ask(int(sys.argv[2]))
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("count", type=int, nargs="?", default=1_000_000, help="operations of each kind; default 1000000")
        sys.exit(main(parser.parse_args().count))
