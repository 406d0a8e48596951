"""What the benchmarks share: a supervisor with a configuration, its control socket, a load that accounts for every request, progress.

Everything runs in a folder of its own below the temporary directory, which stays only when something went wrong.
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DAEMON = os.environ.get("LAUNCHD_CS", str(ROOT / "artifacts/native/launchd-cs")).split()
PATIENCE = 120.0  # seconds for anything that is awaited


def compiled(name):
    """One of the C programs beside this file, compiled if it is newer than its binary."""
    folder = pathlib.Path(tempfile.gettempdir()) / f"launchd-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    source, binary = HERE / f"{name}.c", folder / name
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        made = folder / f"{name}.{os.getpid()}"
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", made, source], check=True)
        made.rename(binary)
    return str(binary)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


class Control:
    """One connection to the control socket: Varlink, each message ended by a NUL."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.rest = b""

    def call(self, method, **parameters):
        message = {"method": "org.launchd-cs.Supervisor." + method, "parameters": parameters}
        self.socket.sendall(json.dumps(message).encode() + b"\0")
        while b"\0" not in self.rest:
            got = self.socket.recv(1 << 16)
            if not got:
                raise EOFError("the supervisor closed the connection")
            self.rest += got
        answer, self.rest = self.rest.split(b"\0", 1)
        return json.loads(answer)


class Supervisor:
    """`launchd-cs run` with a configuration in a folder of its own."""

    def __init__(self, name, text="", start=True):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"launchd-{name}-"))
        self.config = self.folder / "bench.toml"
        self.keeps = False
        self.process = None
        if start:
            self.run(text)

    def write(self, text):
        self.config.write_text(f'supervisor.runtime_directory = "{self.folder}/run"\nsupervisor.log_level = "warning"\n' + text)

    def run(self, text):
        self.write(text)
        self.environment = dict(os.environ, LAUNCHD_RUNTIME_DIRECTORY=str(self.folder / "run"), NO_COLOR="1")
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen([*DAEMON, "run", str(self.config)], stdout=log, stderr=log, env=self.environment, cwd=self.folder)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.control = Control(str(self.folder / "run/control.sock"))
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit("the supervisor did not start:\n" + (self.folder / "log").read_text())
                time.sleep(0.01)

    def call(self, method, **parameters):
        return self.control.call(method, **parameters)

    def verb(self, *words):
        return subprocess.run([*DAEMON, *words], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            if self.process.wait(PATIENCE) != 0:
                self.keeps = True
        if self.keeps or kind is not None:
            print(f"what was left: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


class Load:
    """Clients that ask without a pause, or at a rate, until the end; see load.c."""

    BAD = ("refused", "reset", "timed_out", "cut", "wrong")

    def __init__(self, address, clients, keeps, rate=0, ledger=None):
        words = [compiled("load"), address, str(clients), "keep" if keeps else "close", str(rate), *([ledger] if ledger else [])]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.phases, self.bad, self.ledger, self.current = {}, [], ledger, "all"
        self.arrived = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            entry = json.loads(line)
            with self.arrived:
                if "bad" in entry:
                    entry["at"] = time.monotonic()
                    self.bad.append(entry)
                else:
                    self.phases[entry["phase"]] = entry
                self.arrived.notify_all()

    def phase(self, name):
        """Ends a phase, whose figures are returned, and begins another."""
        ended, self.current = self.current, name
        self.process.stdin.write(f"phase {name}\n")
        with self.arrived:
            if not self.arrived.wait_for(lambda: ended in self.phases, PATIENCE):
                raise SystemExit("the load does not answer")
            return self.phases[ended]

    def end(self):
        """Ends all, the requests that are on their way included; the figures of the last phase."""
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.reader.join()
        return self.phases[self.current]

    def failures(self):
        return sum(p[k] for p in self.phases.values() for k in self.BAD)

    def balances(self):
        return all(p["balances"] for p in self.phases.values()) and self.process.returncode == 0

    def audit(self):
        """Counts the ledger again: None, or why it is not that of the figures. Each number from 1 on has to be there, once, and be ok."""
        if not self.ledger:
            return None
        seen, count, wrong = bytearray(), 0, 0
        with open(self.ledger, encoding="ascii") as lines:
            for line in lines:
                number, _, _, _, how = line.rstrip("\n").split(" ", 4)
                at = int(number)
                if at >= len(seen):
                    seen.extend(bytes(max(at + 1 - len(seen), 1 << 20)))
                if seen[at]:
                    return f"request {at} stands twice in {self.ledger}"
                seen[at], count, wrong = 1, count + 1, wrong + (how != "ok")
        answered = sum(p["answered"] for p in self.phases.values())
        if 0 in seen[1:count + 1] or count != answered + self.failures() or wrong != self.failures():
            return f"{self.ledger} has {count} requests, {wrong} of them wrong; the figures have {answered} and {self.failures()}"
        return None


class Progress:
    """One line that is drawn over on a terminal, and a line every minute elsewhere."""

    def __init__(self, what, total):
        self.what, self.total, self.began = what, total, time.monotonic()
        self.shown = self.began if not sys.stderr.isatty() else 0.0

    def show(self, done, text=""):
        at = time.monotonic()
        if done < self.total and at - self.shown < (0.2 if sys.stderr.isatty() else 60):
            return
        self.shown = at
        left = (at - self.began) / max(1, done) * (self.total - done)
        line = f"{self.what}: {done} of {self.total} {text}, {left:.0f} s to go"
        print(f"\r{line:110}" if sys.stderr.isatty() else line, end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    def close(self):
        if sys.stderr.isatty():
            print("\r" + " " * 110 + "\r", end="", file=sys.stderr, flush=True)


def verdict(name, problems, summary):
    """The last line of every benchmark, and its exit code."""
    for problem in problems[:20]:
        print(f"WRONG: {problem}")
    print(f"{name}: {'PASS' if not problems else 'FAIL'}: {summary}")
    return 1 if problems else 0
