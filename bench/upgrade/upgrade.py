#!/usr/bin/env python3
"""Upgrades of supervisor and keeper under load, and upgrades to programs that are none.

    python3 bench/upgrade/upgrade.py [--upgrades 200] [--broken 20] [--clients 4]

Each client makes a connection for each request to a service whose socket is held, and every request is accounted for. First there are upgrades to
the same program, one after the other; then upgrades to each of five kinds of programs that are broken: dies at once, dies of a signal, does not
end (ten seconds each), is not executable, proves itself and does not serve. Nothing may be refused, no process of a service and not the keeper may
be another one in the end, nothing that the keeper holds may have been lost or doubled.
"""
import argparse
import os
import pathlib
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from bench import DAEMON, Progress, Supervisor, free_port, verdict  # noqa: E402

SERVICE = """
supervisor.keeper = true
[sockets.http]
listen = "tcp://127.0.0.1:{port}"
[services.web]
command = ["{python}", "-c", '''{program}''']
sockets = ["http"]
[services.other]
command = ["sleep", "2147483647"]
"""

PROGRAM = """
import socket
held = socket.socket(fileno=3)
while True:
    client, _ = held.accept()
    client.sendall(client.recv(64))
    client.close()
"""

BROKEN = {
    "dies": "exit 1",
    "is killed": "kill -SEGV $$",
    "proves and does not serve": 'case "$*" in *--prove) exec "{daemon}" "$@" ;; esac; exit 3',
    "does not end": "exec sleep 1000",
    "is not executable": None,
}


class Clients:
    def __init__(self, port, count):
        self.port, self.asked, self.failed, self.worst, self.over = port, 0, [], 0.0, False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.over:
            began, wrong = time.monotonic(), None
            try:
                with socket.create_connection(("127.0.0.1", self.port), 30) as one:
                    one.settimeout(30)
                    one.sendall(b"ping")
                    if one.recv(64) != b"ping":
                        wrong = "no answer"
            except OSError as refused:
                wrong = str(refused)
            with self.lock:
                self.asked += 1
                self.worst = max(self.worst, time.monotonic() - began)
                if wrong:
                    self.failed.append(wrong)

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()


def pids(control):
    return {s["service"]: s["instances"][0]["pid"] for s in control.call("Status")["parameters"]["services"]}


def held(supervisor):
    """Descriptors of the keeper; what is closed beside it may take a moment."""
    return len(os.listdir(f"/proc/{supervisor.process.pid}/fd"))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--upgrades", type=int, default=200)
    parse.add_argument("--broken", type=int, default=20, help="of each kind")
    parse.add_argument("--clients", type=int, default=4)
    options = parse.parse_args()
    port, problems, took = free_port(), [], []
    refused = {kind: 0 for kind in BROKEN}
    with Supervisor("upgrade", SERVICE.format(port=port, python=sys.executable, program=PROGRAM)) as supervisor:
        print(supervisor.verb("start", "--all").stdout, end="")
        clients = Clients(port, options.clients)
        try:
            before, keeper = pids(supervisor.control), supervisor.process.pid
            last = None
            progress = Progress("upgrades", options.upgrades)
            for number in range(options.upgrades):
                began = time.monotonic()
                answer = supervisor.call("Upgrade", binary=os.path.realpath(DAEMON[0]))
                took.append(time.monotonic() - began)
                pid = answer["parameters"].get("pid")
                if "error" in answer or pid == last:
                    problems.append(f"upgrade {number}: {answer}")
                last = pid
                if number == 0:
                    # The keeper becomes the new program after the answer.
                    time.sleep(1)
                    first_held = held(supervisor)
                progress.show(number + 1)
            progress.close()
            time.sleep(1)
            if options.upgrades and held(supervisor) > first_held + 2:
                problems.append(f"the keeper has {held(supervisor)} descriptors, after the first upgrade it had {first_held}")
            upgraded, failed = clients.asked, len(clients.failed)
            for kind, text in BROKEN.items():
                path = supervisor.folder / kind.replace(" ", "-")
                path.write_text("#!/bin/sh\n" + (text or "exit 0").format(daemon=DAEMON[0]) + "\n")
                path.chmod(0o755 if text else 0o644)
                progress = Progress(kind, options.broken)
                for number in range(options.broken):
                    answer = supervisor.call("Upgrade", binary=str(path))
                    if answer.get("error", "").endswith(".UpgradeRefused"):
                        refused[kind] += 1
                    else:
                        problems.append(f"{kind}: {answer}")
                    progress.show(number + 1)
                progress.close()
                print(f"{kind}: {answer['parameters'].get('text')}")
            if pids(supervisor.control) != before:
                problems.append(f"{before} are {pids(supervisor.control)} now")
            if supervisor.process.poll() is not None or supervisor.process.pid != keeper:
                problems.append("the keeper has ended")
        finally:
            clients.stop()
        problems += clients.failed
    took.sort()
    median = statistics.median(took) if took else 0
    return verdict("upgrade", problems,
                   f"{options.upgrades} upgrades in {median * 1000:.0f} ms (median), {took[-1] * 1000 if took else 0:.0f} ms (worst), "
                   f"{upgraded} requests meanwhile, {failed} failed; {sum(refused.values())} broken programs refused; "
                   f"{clients.asked} requests in all, {len(clients.failed)} failed, the slowest took {clients.worst * 1000:.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
