#!/usr/bin/env python3
"""A supervisor is killed under load: what becomes of services, port, requests, output and exit statuses, here and with others.

    python3 bench/kill/kill.py [--kills 20] [--clients 4] [--keep] [NAME...]

NAMEs are those of PEERS, below; all without any. Each runs the services of service.py: `web` behind a port that the supervisor holds, where
it can (runit cannot), `lines`, whose output it captures (systemd: a file), and `end`. All are to be started again whenever they end.

First table: the supervisor is killed, so many times where services live through it without second copies, else once. It is started again at
once where it does not come back by itself. Second table: it is stopped (SIGSTOP), so that it sees nothing, `web` and `end` end with
status 7, and then it is killed. docs/comparison.md says what each column means. A supervisor that is not there is skipped, with the reason.

This process reaps all orphans, as an init does, and ends by pid what is left. Only systemd needs root.
"""
import argparse
import collections
import ctypes
import os
import pathlib
import selectors
import shutil
import signal
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from bench import free_port  # noqa: E402
from peers import PATIENCE, LaunchdCs, LaunchdCsBothKilled, LaunchdCsKeeper, LaunchdCsKeeperKilled  # noqa: E402
from peers import Runit, Runsv, S6, S6Lock, S6Supervise, Supervisord, children, command_line, send, until  # noqa: E402
from units import Container, First, Reexec, User  # noqa: E402

PEERS = {"keeper": LaunchdCsKeeper, "keeper-killed": LaunchdCsKeeperKilled, "both-killed": LaunchdCsBothKilled, "no-keeper": LaunchdCs,
         "systemd-reexec": Reexec, "systemd": First, "systemd-container": Container, "systemd-user": User,
         "s6-svscan": S6, "s6-supervise": S6Supervise, "s6-lock": S6Lock, "runsvdir": Runit, "runsv": Runsv, "supervisord": Supervisord}
ABSENT = {"circus": "no package of Debian 12", "dinit": "no package of Debian 12"}
SERVICES = ("web", "lines", "end")
SETTLED = 1.5  # seconds without a birth or an end: more than the second that s6, runit and supervisord wait before they start again
PR_SET_CHILD_SUBREAPER = 36


class Birth:
    def __init__(self, name, token, pid, connection):
        self.name, self.token, self.pid, self.connection = name, token, pid, connection
        self.pidfd, self.lives = os.pidfd_open(pid), True


class Ledger:
    """Every service that was born, by the pid that the kernel names, and whether it lives, by its pidfd."""

    def __init__(self, folder):
        self.births, self.changed, self.at = [], threading.Condition(), time.monotonic()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{folder}/births")
        self.listener.listen(64)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while True:
            for key, _ in self.selector.select():
                with self.changed:
                    self.at = time.monotonic()
                    self.died(key.data) if key.data else self.born()
                    self.changed.notify_all()

    def born(self):
        connection, _ = self.listener.accept()
        name, token = connection.makefile().readline().split()
        pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        try:
            birth = Birth(name, token, pid, connection)
        except ProcessLookupError:
            return  # It has ended already, and wrote nothing that it could have told of.
        self.births.append(birth)
        self.selector.register(birth.pidfd, selectors.EVENT_READ, birth)

    def died(self, birth):
        birth.lives = False
        self.selector.unregister(birth.pidfd)
        os.close(birth.pidfd)
        try:
            os.waitpid(birth.pid, os.WNOHANG)
        except ChildProcessError:
            pass  # It is another's child.

    def living(self, name):
        return [b for b in self.births if b.name == name and b.lives]

    def wait(self, what, seconds=PATIENCE):
        with self.changed:
            return self.changed.wait_for(what, seconds)

    def settle(self):
        """Waits until nothing has been born or has ended for a while: that nothing more comes is no event."""
        began = time.monotonic()
        with self.changed:
            while (rest := min(max(self.at, began) + SETTLED, began + PATIENCE) - time.monotonic()) > 0:
                self.changed.wait(rest)


class Clients:
    """Each opens a connection for a request, and another 2 ms after the answer. A failure is followed by a pause, as clients do."""

    def __init__(self, port, count):
        self.port, self.ended, self.lock = port, threading.Event(), threading.Lock()
        self.results, self.answered, self.gap = collections.Counter(), time.monotonic(), 0.0
        self.threads = [threading.Thread(target=self.run, args=(n * 1_000_000_000,)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def ask(self, number):
        try:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
                connection.sendall(b"ask %d\n" % number)
                got = connection.makefile().readline()
                return "ok" if got == f"{number}\n" else "cut" if got == "" else "wrong"
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "timed out"
        except OSError:
            return "reset"

    def run(self, number):
        while not self.ended.is_set():
            number += 1
            result = self.ask(number)
            with self.lock:
                self.results[result] += 1
                if result == "ok":
                    at = time.monotonic()
                    self.gap, self.answered = max(self.gap, at - self.answered), at
            self.ended.wait(0.002 if result == "ok" else 0.02)

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        bad = self.results.total() - self.results["ok"]
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.results.items()) if kind != "ok")
        return f"{self.results.total()}", f"{bad}" + (f" ({kinds})" if bad else ""), f"{self.gap * 1000:.0f}"


class Held:
    """A request that is answered only after the kill."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.lines = self.connection.makefile("rw")
        print("hold", file=self.lines, flush=True)
        if self.lines.readline() != "held\n":
            raise SystemExit("a request is not held")

    def end(self):
        try:
            print("go on", file=self.lines, flush=True)
            return self.lines.readline() == "done\n"
        except OSError:
            return False
        finally:
            self.connection.close()


class Run:
    """One supervisor in a folder of its own, with its services up and clients at work."""

    def __init__(self, kind, options):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kill-"))
        self.keep, self.count, self.port = options.keep, options.clients, free_port()
        self.refused = False
        self.ledger, self.peer, self.clients = Ledger(self.folder), kind(self.folder, self.port), None
        self.peer.configure()

    def __enter__(self):
        try:
            self.begin()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def begin(self):
        self.peer.start()
        getattr(self.peer, "begun", lambda: None)()
        came = self.ledger.wait(lambda: all(self.ledger.living(n) for n in SERVICES)) and until(self.peer.answers)
        if not came or not until(lambda: any(self.logged().values())):
            raise RuntimeError(f"{type(self.peer).__doc__} does not start:\n{self.peer.said.read_text()[-2000:]}")
        self.ledger.settle()
        self.clients = Clients(self.port, self.count)

    def taken(self):
        """How many lines of each life its output has taken."""
        return {b.token: struct.unpack("<Q", path.read_bytes())[0] for b in self.ledger.births
                if b.name == "lines" and (path := self.folder / b.token).exists() and path.stat().st_size == 8}

    def logged(self):
        found = collections.defaultdict(set)
        for path in self.peer.logs():
            for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
                # Some write the time before it.
                token, _, number = " ".join(line.split()[-2:]).partition(" ")
                if number.isdigit():
                    found[token].add(int(number))
        return found

    def memory(self):
        """PSS in MB of all that is between this process and the services."""
        own, left = [], [self.peer.process.pid]
        while left:
            own.append(left.pop())
            left += children(own[-1])
        services = {b.pid for b in self.ledger.births}
        kilobytes = 0
        for pid in (p for p in own if p not in services and command_line(p)[:1] != ["unshare"]):
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            kilobytes += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return f"{kilobytes / 1000:.1f}"

    def lost(self):
        """Lines that were taken until now and never come into the log, of how many; whether a life of `lines` hangs."""
        taken = self.taken()

        def missing():
            logged = self.logged()
            return {token: count - sum(n <= count for n in logged[token]) for token, count in taken.items()}
        until(lambda: not any(missing().values()), 5)
        hangs = [b for b in self.ledger.living("lines") if not until(lambda: self.taken()[b.token] > taken[b.token], 2)]
        return f"{sum(missing().values())} of {sum(taken.values())}" + (", and it hangs" if hangs else "")

    def strike(self, managers):
        """Kills, brings back; how many seconds until it answered.

        Where it does not start beside what lives, that is ended first, as a person would, and the seconds are those of the second start.
        """
        began = time.monotonic()
        self.peer.strike(managers)
        self.peer.struck()
        if self.peer.comes():
            return time.monotonic() - began
        if self.peer.back != "started again":
            return None
        self.refused = True
        for name in SERVICES:
            for birth in self.ledger.living(name):
                send(birth.pid, signal.SIGKILL)
        self.ledger.wait(lambda: not any(self.ledger.living(n) for n in SERVICES))
        began = time.monotonic()
        self.peer.start()
        return time.monotonic() - began if self.peer.comes() else None

    def __exit__(self, kind, error, trace):
        if self.clients:
            self.clients.end()
        if self.peer.process:
            self.peer.stop()
        until(lambda: not any(self.ledger.living(n) for n in SERVICES), 5)
        # What is left has come to this process, or does so when what is between has ended.
        while (left := children(os.getpid())):
            for pid in left:
                send(pid, signal.SIGKILL)
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    pass
        getattr(self.peer, "gone", lambda: None)()
        if self.keep:
            print(f"{type(self.peer).__doc__}: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder)


def killed(run, options):
    kind, rounds = type(run.peer), options.kills if run.peer.rounds else 1
    memory, survived, held, times = run.memory(), collections.Counter(), 0, []
    for _ in range(rounds):
        before, request = {n: run.ledger.living(n) for n in SERVICES}, Held(run.port)
        times.append(run.strike(run.peer.managers()))
        run.ledger.settle()
        held += request.end()
        for name in SERVICES:
            survived[name] += all(b.lives for b in before[name])
    copies = {n: len(run.ledger.living(n)) for n in SERVICES}
    lost = run.lost()
    # One that lived through it ends later. Whoever starts it again has noticed.
    old = next(b for b in run.ledger.births if b.name == "end")
    later = "-"
    if old.lives:
        old.connection.sendall(b"end\n")
        run.ledger.wait(lambda: not old.lives)
        count = len(run.ledger.births)
        later = "yes" if run.ledger.wait(lambda: any(b.name == "end" for b in run.ledger.births[count:]), 3) else "no"
    asked, bad, gap = run.clients.end()
    kept = "all" if min(survived.values()) == rounds else ", ".join(f"{n} {survived[n]}" for n in SERVICES)
    doubled = ", ".join(f"{n} {c}" for n, c in copies.items() if c != 1) or "1 each"
    good = [t * 1000 for t in times if t is not None]
    took = "never" if len(good) < rounds else f"{good[0]:.0f}" if rounds == 1 else f"{statistics.median(good):.0f} / {max(good):.0f}"
    back = kind.back + (", once what lived was ended" if run.refused else "")
    return [kind.__doc__, f"{rounds} x {kind.by}", back, asked, bad, gap, f"{held} of {rounds}", kept, doubled, lost, later, took, memory]


def missed(run, _):
    """Ends that nobody can have seen before the kill."""
    managers = run.peer.managers()
    for pid in managers:
        send(pid, signal.SIGSTOP)
    gone = [b for n in ("web", "end") for b in run.ledger.living(n)]
    for birth in gone:
        birth.connection.sendall(b"end\n")
    run.ledger.wait(lambda: not any(b.lives for b in gone))
    count = len(run.ledger.births)
    run.strike(managers)
    run.ledger.wait(lambda: {"web", "end"} <= {b.name for b in run.ledger.births[count:]}, 5)
    known = until(run.peer.is_known, 3)
    run.ledger.settle()
    copies = {n: len(run.ledger.living(n)) for n in SERVICES}
    asked, bad, gap = run.clients.end()
    return [type(run.peer).__doc__, "yes" if known else "no", "yes" if copies["web"] and copies["end"] else "no",
            ", ".join(f"{n} {c}" for n, c in copies.items() if c != 1) or "1 each", asked, bad, gap]


def tried(case, kinds, options):
    rows = []
    for kind in kinds:
        with Run(kind, options) as run:
            rows.append(case(run, options))
        print(f"{case.__name__}: {' | '.join(rows[-1])}", file=sys.stderr, flush=True)
    return rows


def table(head, rows):
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*PEERS, *ABSENT]))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="keeps the folders")
    options = parser.parse_args()
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit("this process cannot become a subreaper")
    kinds = []
    for name in options.names or [*PEERS, *ABSENT]:
        if name not in PEERS and name not in ABSENT:
            parser.error(f"no such supervisor: {name}")
        reason = ABSENT.get(name) or PEERS[name].missing()
        if reason:
            print(f"skipped {name}: {reason}")
        else:
            kinds.append(PEERS[name])
    versions = "; ".join(dict.fromkeys(kind.version() for kind in kinds))
    print(f"{versions}; Linux {os.uname().release}; load {os.getloadavg()[0]:.1f} at the start\n")
    first, second = tried(killed, kinds, options), tried(missed, kinds, options)
    table(["supervisor", "killed", "comes back", "requests", "failed", "longest gap, ms", "held request answered", "same process", "copies",
           "lines lost", "ends later: started again", "answers after, ms", "memory, MB"], first)
    table(["supervisor", "status known", "both started again", "copies", "requests", "failed", "longest gap, ms"], second)


main()
