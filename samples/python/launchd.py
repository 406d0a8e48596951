"""A program's end of its supervisor (launchd-cs, or systemd as far as that goes): standard library only, Python 3.9 or newer.

    import launchd
    sockets = launchd.listen_fds()                 # [(3, "http"), ...]; [] when they are meant for another process
    launchd.notify("READY=1", "STATUS=serving")    # False without a supervisor
    channel = launchd.Channel.open()               # None without launchd-cs
    fd = channel.request("cache", "ring")          # a sibling's descriptor; the caller closes it
"""
import array
import collections
import json
import os
import socket

MOST_FDS, PACKET = 253, 65536


def listen_fds(unset=True):
    """Inherited descriptors as (number, name), close-on-exec from now on; sd_listen_fds(3)."""
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
    take = os.environ.pop if unset else os.environ.get
    pid, count, labels, _ = (take(name, None) for name in names)
    if pid is None or int(pid) != os.getpid() or count is None:
        return []
    if int(count) <= 0:
        raise ValueError(f"LISTEN_FDS is {count}")
    labels = labels.split(":") if labels is not None else ["unknown"] * int(count)
    if len(labels) != int(count):
        raise ValueError(f"LISTEN_FDNAMES has {len(labels)} names for {count} descriptors")
    for number in range(3, 3 + int(count)):
        os.set_inheritable(number, False)
    return [(3 + i, label) for i, label in enumerate(labels)]


def notify(*lines, fds=()):
    """One notification, sd_notify(3); False when nobody wants it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect("\0" + path[1:] if path[0] == "@" else path)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        s.sendmsg(["\n".join(lines).encode()], rights)
    return True


def barrier():
    """Waits until the supervisor has read all notifications sent before."""
    reading, writing = os.pipe()
    try:
        sent = notify("BARRIER=1", fds=[writing])
    finally:
        os.close(writing)
    if sent:
        os.read(reading, 1)
    os.close(reading)
    return sent


class Refused(Exception):
    """An error of the supervisor: its short name and its parameters."""

    def __init__(self, error, parameters):
        super().__init__(f"{error}: {parameters}")
        self.error, self.parameters = error.rpartition(".")[2], parameters


class Channel:
    """The instance channel: calls and answers in order, events in between. For one thread."""

    def __init__(self, sock):
        self.socket, self.events, self.published = sock, collections.deque(), {}

    @classmethod
    def open(cls):
        if os.environ.get("LAUNCHD_PID") != str(os.getpid()) or "LAUNCHD_CHANNEL" not in os.environ:
            return None
        number = int(os.environ.pop("LAUNCHD_CHANNEL"))
        os.set_inheritable(number, False)
        return cls(socket.socket(fileno=number))

    def send(self, method, parameters=None, fds=(), **flags):
        packet = {"method": "org.launchd-cs.Instance." + method, **flags}
        if parameters:
            packet["parameters"] = parameters
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([json.dumps(packet, separators=(",", ":")).encode()], rights)

    def call(self, method, parameters=None, fds=(), **flags):
        """The answer's parameters and the descriptors in it, which the caller closes."""
        self.send(method, parameters, fds, **flags)
        answer, got = {}, []
        while True:
            packet, fds = self._receive()
            if "event" in packet.get("parameters", {}):
                self._happened(packet["parameters"], fds)
                continue
            got += fds
            if "error" in packet:
                for fd in got:
                    os.close(fd)
                raise Refused(packet["error"], packet.get("parameters", {}))
            lists = answer.get("descriptors", []) + packet.get("parameters", {}).get("descriptors", [])
            answer.update(packet.get("parameters", {}), **({"descriptors": lists} if lists else {}))
            if not packet.get("continues") or flags.get("more"):
                return answer, got

    def _receive(self):
        data, control, flags, _ = self.socket.recvmsg(PACKET, socket.CMSG_SPACE(4 * MOST_FDS), socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for level, kind, rest in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(rest[: len(rest) - len(rest) % fds.itemsize])
        if not data or flags & socket.MSG_CTRUNC:
            for fd in fds:
                os.close(fd)
            raise EOFError("the supervisor has closed the channel" if not data else "no room for descriptors")
        return json.loads(data), list(fds)

    def _happened(self, event, fds):
        if event["event"] == "Wanted":    # the kernel keeps the supervisor from taking what was published
            fd = self.published.get(event["name"])
            self.send("Give", {"ask": event["ask"]}, [fd] if fd == event["number"] else [], oneway=True)
        else:
            self.events.append((event, fds))

    def watch(self):
        """Events for ever: (parameters, descriptors). Answers what siblings want meanwhile."""
        self.call("Watch", more=True)
        while True:
            while self.events:
                yield self.events.popleft()
            packet, fds = self._receive()
            self._happened(packet.get("parameters", {}), fds)

    def request(self, service, name, **options):
        return self.call("Request", {"service": service, "name": name, **options})[1][0]

    def publish(self, name, fd):
        self.call("Publish", {"name": name, "number": fd})
        self.published[name] = fd

    def store(self, name, fds, **options):
        return self.call("Store", {"name": name, **options}, fds)[0]
