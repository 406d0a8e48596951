#!/usr/bin/env python3
"""Releases under load, a third of them broken: the old generation serves throughout, and `restart` says what was wrong.

    python3 bench/release/release.py [--releases 30] [--clients 16] [--load close] [--rate 500] [--seed N] [--ledger FILE]

A release is another program behind the link `current`, and then `launchd-cs restart web`. Broken ones, each kind about equally often: one that is
never ready, one that exits at once, one that dies while it proves itself, one that cannot be executed, one that hangs and does not even end
on SIGTERM. After each release the verb must have ended with 0 or 1 as it should, with the reason and the last line of output, and exactly the last good
release must answer. Nothing may be refused, reset, timed out, cut or wrong at any time.
"""
import argparse
import os
import pathlib
import random
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from bench import Load, Progress, Supervisor, compiled, free_port, verdict  # noqa: E402

CONFIG = '''
[sockets.http]
listen = "tcp://127.0.0.1:{port}"
non_blocking = true

[services.web]
command = ["{folder}/current"]
sockets = ["http"]
ready = "notify"
ready_timeout = "{patience}"
stop_timeout = "{patience}"
start_limit = {{ burst = 0, interval = "1s" }}
rollout = {{ prove = "{prove}" }}
'''

# What the script of a broken release does, and what the operator is told.
BROKEN = {
    "never ready": ('echo release NUMBER waits\nexec SERVER --never-ready', "was not ready within"),
    "exits at once": ('echo release NUMBER gives up\nexit 7', "exited with 7 before it was ready"),
    "dies while proving": ('echo release NUMBER dies\nexec SERVER --die-after 20', "exited with 9"),
    "cannot be executed": (None, "Permission denied"),
    "hangs": ('echo release NUMBER hangs\nexec SERVER --hang', "was not ready within"),
}


def release(folder, number, kind, server):
    """Puts a release in place, as a deployment does: a new file, and then the link is exchanged for one that leads there."""
    script = folder / f"release-{number}"
    text = BROKEN[kind][0] if kind else f'export LAUNCHD_GENERATION=NUMBER\nexec SERVER'
    script.write_text("#!/bin/sh\n" + (text or "exit 0").replace("NUMBER", str(number)).replace("SERVER", server) + "\n")
    script.chmod(0o755 if text else 0o644)
    link = folder / "current.new"
    link.symlink_to(script)
    os.replace(link, folder / "current")


def answering(port):
    """The releases that answer, asked a few times over connections of their own."""
    answers = set()
    for _ in range(5):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/x", timeout=30) as answer:
            answers.add(int(answer.read().split()[1]))
    return answers


def check(supervisor, number, kind, good, port, problems):
    said = supervisor.verb("restart", "web")
    if said.returncode != (1 if kind else 0):
        problems.append(f"release {number} ({kind or 'good'}): restart ended with {said.returncode}: {said.stdout}")
    if kind and BROKEN[kind][1] not in said.stdout:
        problems.append(f"release {number} ({kind}): restart does not say '{BROKEN[kind][1]}': {said.stdout}")
    if kind and kind != "cannot be executed" and f"release {number} " not in said.stdout:
        problems.append(f"release {number} ({kind}): restart does not show its last output: {said.stdout}")
    if answering(port) != {good}:
        problems.append(f"after release {number} ({kind or 'good'}) {answering(port)} answer, not {good}")
    return said.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=30)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--load", choices=("close", "keep"), default="close")
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--prove", default="100ms")
    parser.add_argument("--patience", default="1s", help="ready_timeout and stop_timeout")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--ledger", help="a file that gets a line for every request (see load.c), and is counted again in the end")
    options = parser.parse_args()
    dice, problems, kinds, port, server = random.Random(options.seed), [], {}, free_port(), compiled("server")
    shown = {}
    with Supervisor("release", start=False) as supervisor:
        release(supervisor.folder, 0, None, server)
        supervisor.run(CONFIG.format(port=port, folder=supervisor.folder, prove=options.prove, patience=options.patience))
        supervisor.call("Start", services=["web"])
        load = Load(f"127.0.0.1:{port}", options.clients, options.load == "keep", options.rate, options.ledger)
        good, progress, began = 0, Progress("releases", options.releases), time.monotonic()
        for number in range(1, options.releases + 1):
            kind = dice.choice(sorted(BROKEN)) if dice.random() < 1 / 3 else None
            kinds[kind or "good"] = kinds.get(kind or "good", 0) + 1
            release(supervisor.folder, number, kind, server)
            good = good if kind else number
            shown[kind or "good"] = check(supervisor, number, kind, good, port, problems)
            progress.show(number, f"({len(problems)} wrong)")
        progress.close()
        took = time.monotonic() - began
        figures = load.end()
        if load.bad:
            problems.append(f"{len(load.bad)} requests failed, first: {load.bad[:3]}")
        if not load.balances():
            problems.append(f"the figures do not balance: {load.phases}")
        if (mistake := load.audit()) is not None:
            problems.append(mistake)
        running = supervisor.call("Status")["parameters"]["services"][0]["instances"]
        if len(running) != 1:
            problems.append(f"in the end {len(running)} instances run: {running}")
        supervisor.keeps = bool(problems)
    for kind, text in sorted(shown.items()):
        print(f"--- {kind} ({kinds[kind]}): the last time, `restart web` said\n{text.rstrip()}")
    print(f"--- seed {options.seed}, {took / options.releases:.2f} s a release, p50 {figures['p50_ms']:.2f} ms, p99 {figures['p99_ms']:.2f} ms, "
          f"longest {figures['longest_ms']:.1f} ms")
    return verdict("release", problems, f"{options.releases} releases, {options.releases - kinds.get('good', 0)} of them broken; "
                   f"{figures['answered']} requests answered, {load.failures()} failed")


if __name__ == "__main__":
    sys.exit(main())
