"""How each supervisor of kill.py is configured, started, killed, brought back and asked.

A peer gets a folder and a port. `managers` are the processes that are killed; `strike` kills them, or does what stands in `by`.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from bench import DAEMON, Control  # noqa: E402

SERVICE = f"{sys.executable} {pathlib.Path(__file__).resolve().parent / 'service.py'}"
PATIENCE = 20.0  # seconds for anything that is awaited


def until(what, seconds=PATIENCE):
    """Asks again until it is true, for what sends no event; whether it came to be."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def children(pid):
    """Those of all its threads."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            pass
    return found


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    except OSError:
        return []


def send(pid, number):
    """By pidfd; every pid that comes here is of a child of this process or of one that such a child has, and was looked up a moment ago."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


class Peer:
    by = "SIGKILL"
    back = "started again"   # how it comes back: here by this program, as by an init
    rounds = False           # whether it is killed again and again
    noted = ""               # what its words have when it knows of status 7
    package = None           # of Debian
    programs = ()

    def __init__(self, folder, port):
        self.folder, self.port, self.process = pathlib.Path(folder), port, None
        self.said = self.folder / "said"

    @classmethod
    def missing(cls):
        lacking = [p for p in cls.programs if not shutil.which(p)]
        return f"{', '.join(lacking)} not found (package {cls.package})" if lacking else None

    @classmethod
    def version(cls):
        got = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", cls.package], capture_output=True, text=True)
        return f"{cls.package} {got.stdout.strip()}"

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def service(self, name, where=""):
        return f"{SERVICE} {self.folder} {name} {where}".rstrip()

    def open(self, *words, environment=None):
        with open(self.said, "a") as said:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.folder,
                                            env={**os.environ, **(environment or {})})

    def managers(self):
        return [self.process.pid]

    def strike(self, managers):
        for pid in managers:
            send(pid, signal.SIGKILL)

    def struck(self):
        """After strike: waits for the end of what was killed, and starts it again where that is done by hand."""
        self.process.wait(PATIENCE)
        self.start()

    def comes(self):
        """Waits until it answers, or has ended."""
        return until(lambda: self.process.poll() is not None or self.answers()) and self.process.poll() is None

    def is_known(self):
        """Whether the manager has noted that the service `end` ended with status 7."""
        return re.search(self.noted, self.said.read_text()) is not None

    def logs(self):
        return [self.folder / "lines.log"]

    def stop(self):
        send(self.process.pid, signal.SIGTERM)


class LaunchdCs(Peer):
    """launchd-cs with keeper = false"""
    keeper, rounds = "false", True
    noted = r"'end\.0' .*\b7\b"

    @classmethod
    def missing(cls):
        return None if shutil.which(DAEMON[0]) else f"{DAEMON[0]} not found (LAUNCHD_CS)"

    @classmethod
    def version(cls):
        return subprocess.run([*DAEMON, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def configure(self):
        services = "".join(f'''
[services.{name}]
command = {str(self.service(name, where).split()).replace("'", '"')}
restart = "always"
{more}
''' for name, where, more in (("web", "3", 'sockets = ["web"]'), ("lines", "", 'log = { path = "lines.log" }'), ("end", "", "")))
        self.write("kill.toml", f'''
[supervisor]
runtime_directory = "{self.folder}/run"
keeper = {self.keeper}
[sockets.web]
listen = "tcp://127.0.0.1:{self.port}"
{services}''')

    def start(self):
        self.open(*DAEMON, "run", str(self.folder / "kill.toml"))

    def state(self):
        try:
            return Control(str(self.folder / "run/control.sock")).call("Status")["parameters"]
        except (OSError, EOFError, KeyError):
            return None

    def answers(self):
        return self.state() is not None


class LaunchdCsKeeper(LaunchdCs):
    """launchd-cs with keeper = true, the supervisor killed"""
    keeper, back, rounds = "true", "by itself", True

    def managers(self):
        return [self.state()["supervisor"]["pid"]]

    def struck(self):
        pass


class LaunchdCsKeeperKilled(LaunchdCsKeeper):
    """launchd-cs with keeper = true, the keeper killed"""
    back, rounds = "not; not needed", False

    def managers(self):
        return [self.process.pid]

    def struck(self):
        self.process.wait(PATIENCE)

    def comes(self):
        return until(self.answers)

    def stop(self):
        for pid in super().managers():
            send(pid, signal.SIGTERM)


class LaunchdCsBothKilled(LaunchdCsKeeper):
    """launchd-cs with keeper = true, the keeper and the supervisor killed"""
    back, rounds = "started again", True

    def managers(self):
        return [self.process.pid, *super().managers()]

    def struck(self):
        Peer.struck(self)


class Supervisord(Peer):
    """supervisord"""
    package, programs = "supervisor", ("/usr/bin/supervisord",)
    noted = r"exited: end \(exit status 7"

    def configure(self):
        common = "startsecs=0\nautorestart=true\n"
        self.write("supervisord.conf", f'''
[unix_http_server]
file={self.folder}/socket
[supervisord]
nodaemon=true
logfile={self.folder}/supervisord.log
pidfile={self.folder}/pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[fcgi-program:web]
socket=tcp://127.0.0.1:{self.port}
socket_backlog=1024
command={self.service("web", "0")}
{common}
[program:lines]
command={self.service("lines")}
stdout_logfile={self.folder}/lines.log
{common}
[program:end]
command={self.service("end")}
{common}''')

    def start(self):
        self.open("/usr/bin/supervisord", "-n", "-c", str(self.folder / "supervisord.conf"))

    def answers(self):
        call = b"<?xml version='1.0'?><methodCall><methodName>supervisor.getState</methodName><params/></methodCall>"
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(PATIENCE)
                control.connect(str(self.folder / "socket"))
                control.sendall(b"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s" % (len(call), call))
                return b"200 OK" in control.recv(4096)
        except OSError:
            return False


class Scanned(Peer):
    """What s6 and runit have in common: a folder for each service with the program `run`, `finish`, which is told the status, and a log."""
    processes = ()           # the supervisor of each service
    log, noted = "", "status 7"

    def script(self, name, text):
        self.write(f"scan/{name}", f"#!/bin/sh\n{text}\n", 0o755)

    def configure(self):
        for name in ("web", "lines", "end"):
            self.script(f"{name}/run", "exec " + self.service(name, self.port if name == "web" else ""))
        self.script("end/finish", f"echo \"status $1\" >> {self.said}")
        self.script("lines/log/run", f"exec {self.log} {self.folder}/lines")
        (self.folder / "lines").mkdir()

    def supervisors(self):
        """Of the services, without those of logs and of what else there is."""
        return [pid for pid in children(self.process.pid) if command_line(pid) in self.processes]

    def each(self, *words):
        """Whether a command about a service succeeds for each."""
        folders = [f"{self.folder}/scan/{name}" for name in ("web", "lines", "end")]
        return all(subprocess.run([*words, folder], capture_output=True).returncode == 0 for folder in folders)

    def logs(self):
        return [self.folder / "lines/current"]


class S6(Scanned):
    """s6, s6-svscan killed"""
    package, programs, log, rounds = "s6", ("s6-svscan", "s6-fdholder-daemon"), "s6-log n2 s99999999", True
    processes = [["s6-supervise", name] for name in ("web", "lines", "end")]
    lock = False

    def configure(self):
        super().configure()
        rights = self.folder / "rules/uid/0/env"
        rights.mkdir(parents=True)
        (rights.parent / "allow").touch()
        for name in ("STORE", "RETRIEVE"):
            (rights / f"S6_FDHOLDER_{name}_REGEX").write_text(".*\n")
        self.script("holder/run", f"exec s6-fdholder-daemon -i {self.folder}/rules {self.folder}/holder")
        self.script("web/run", f"exec s6-fdholder-retrieve {self.folder}/holder web {self.service('web', '0')}")
        if self.lock:
            for name in ("web", "lines", "end"):
                self.write(f"scan/{name}/lock-fd", "9\n")
                # 2.11.3.2 opens this file, which nobody makes, and starts nothing without it: findings/s6-lock-fd-locks-nothing.sh.
                self.write(f"scan/{name}/supervise/service-lock", "")

    def start(self):
        self.open("s6-svscan", str(self.folder / "scan"))

    def begun(self):
        """The listener goes into the holder, which is a service beside the others."""
        with socket.create_server(("127.0.0.1", self.port), backlog=1024) as listener:
            if not until(lambda: subprocess.run(["s6-fdholder-store", str(self.folder / "holder"), "web"], stdin=listener,
                                                capture_output=True).returncode == 0):
                raise SystemExit("s6-fdholder-daemon does not take the listener")

    def answers(self):
        return subprocess.run(["s6-svscanctl", "-a", str(self.folder / "scan")], capture_output=True).returncode == 0

    def stop(self):
        subprocess.run(["s6-svscanctl", "-t", str(self.folder / "scan")], capture_output=True)


class S6Supervise(S6):
    """s6, each s6-supervise killed"""
    back, rounds = "by itself", False

    def managers(self):
        return self.supervisors()

    def struck(self):
        pass

    def answers(self):
        return self.each("s6-svok")


class S6Lock(S6Supervise):
    """s6 with lock-fd, each s6-supervise killed"""
    lock = True


class Runit(Scanned):
    """runit, runsvdir killed"""
    package, programs, log, rounds = "runit", ("runsvdir", "svlogd"), "svlogd", True
    processes = [["runsv", name] for name in ("web", "lines", "end")]

    def configure(self):
        super().configure()
        (self.folder / "lines/config").write_text("s99999999\n")

    def start(self):
        self.open("runsvdir", str(self.folder / "scan"))

    def answers(self):
        """runsvdir takes no orders; those of the services do."""
        return self.each("sv", "status")

    def stop(self):
        send(self.process.pid, signal.SIGHUP)


class Runsv(Runit):
    """runit, each runsv killed"""
    back, rounds = "by itself", False

    def managers(self):
        return self.supervisors()

    def struck(self):
        pass
