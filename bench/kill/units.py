"""systemd for kill.py: as the first process of namespaces of its own, and as an instance of a user, with no unit of this machine."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys

from peers import PATIENCE, Peer, children, send, until

ENTER = '''
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
mount -t tmpfs -o mode=755 tmpfs /run
'''

FIRST = ENTER + '''
mkdir -p /run/systemd /run/lock
mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
exec env -i container=kill PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH={folder}/units SYSTEMD_GENERATOR_PATH={folder}/none \\
  {systemd} --system --unit=kill.target --log-target=console --log-level=warning --show-status=no
'''

# It looks for this folder to see whether systemd is the system's first process.
USER = ENTER + '''
mkdir -p /run/systemd/system
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin XDG_RUNTIME_DIR={folder}/runtime HOME={folder} SYSTEMD_UNIT_PATH={folder}/units \\
  SYSTEMD_GENERATOR_PATH={folder}/none {systemd} --user --unit=kill.target --log-target=console --log-level=warning
'''


class Units(Peer):
    package, programs = "systemd", ("/lib/systemd/systemd", "systemctl", "unshare", "nsenter")
    noted = "status 7"
    enters = FIRST

    @classmethod
    def missing(cls):
        if os.getuid() != 0:
            return "needs root"
        return super().missing() or (None if cls.groups() else "needs cgroup v2")

    @staticmethod
    def groups():
        mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        return next((m[1] for m in mounts if m[2] == "cgroup2"), None)

    def __init__(self, folder, port):
        super().__init__(folder, port)
        self.group = pathlib.Path(self.groups(), "launchd-" + self.folder.name)

    def unit(self, name, text):
        self.write(f"units/{name}", "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n" + text)

    def configure(self):
        self.group.mkdir()
        for name in ("none", "runtime"):
            (self.folder / name).mkdir()
        self.unit("kill.target", "Wants=web.socket web.service lines.service end.service\n")
        self.unit("web.socket", f"[Socket]\nListenStream=127.0.0.1:{self.port}\n")
        stopped = f"ExecStopPost=/bin/sh -c 'echo status $EXIT_STATUS >> {self.said}'\n"
        for name, more in (("web", ""), ("lines", f"StandardOutput=append:{self.folder}/lines.log\n"), ("end", stopped)):
            needs = "Requires=web.socket\nAfter=web.socket\n" if name == "web" else ""
            start = f"ExecStart={self.service(name, '3' if name == 'web' else '')}\n"
            self.unit(f"{name}.service", f"{needs}[Service]\nRestart=always\nRestartSec=0\n{start}{more}")
        self.write("enter", self.enters.format(folder=self.folder, systemd="/lib/systemd/systemd"))

    def start(self):
        """The shell goes into the group, then into the namespaces, then becomes systemd."""
        into = f'echo 0 > "{self.group}/cgroup.procs" && exec unshare {self.namespaces} bash "{self.folder}/enter"'
        self.open("bash", "-c", into)
        until(self.answers)

    namespaces = "--mount --pid --uts --ipc --cgroup --fork --kill-child --mount-proc"

    def managers(self):
        return children(self.process.pid)

    def inside(self, *words):
        managers = self.managers()
        return bool(managers) and subprocess.run(["nsenter", "-t", str(managers[0]), "-m", "-p", "-C", *words], timeout=PATIENCE,
                                                 capture_output=True).returncode == 0

    def answers(self):
        return self.inside("systemctl", "is-active", "kill.target")

    def stop(self):
        send(self.process.pid, signal.SIGKILL)

    def gone(self):
        """When all processes have ended: takes the groups away."""
        until(lambda: "populated 0" in (self.group / "cgroup.events").read_text())
        for folder, _, _ in os.walk(self.group, topdown=False):
            os.rmdir(folder)


class Reexec(Units):
    """systemd, daemon-reexec"""
    by, back, rounds = "daemon-reexec", "the same process", True

    def strike(self, managers):
        for pid in managers:
            send(pid, signal.SIGCONT)
        self.inside("systemctl", "daemon-reexec")

    def struck(self):
        pass


class First(Units):
    """systemd as PID 1, SIGKILL from inside"""
    back, rounds = "never gone", True

    def strike(self, managers):
        self.inside("bash", "-c", "kill -KILL 1")
        for pid in managers:
            send(pid, signal.SIGCONT)

    def struck(self):
        pass


class Container(Units):
    """systemd as PID 1 of a container, SIGKILL from outside"""


class User(Units):
    """systemd --user"""
    enters, namespaces = USER, "--mount --cgroup"

    def managers(self):
        return [self.process.pid]

    def answers(self):
        return self.inside("env", f"XDG_RUNTIME_DIR={self.folder}/runtime", "systemctl", "--user", "is-active", "kill.target")
