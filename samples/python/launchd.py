"""A program's end of its supervisor (launchd-cs, or systemd as far as that goes): standard library only, Python 3.9 or newer.

    import launchd
    sockets = launchd.listen_fds()                 # [(3, "http"), ...]; [] when they are meant for another process
    launchd.notify("READY=1", "STATUS=serving")    # False without a supervisor
    channel = launchd.Channel.open()               # None without launchd-cs
    fd = channel.request("cache", "ring")          # a sibling's descriptor; the caller closes it

A server whose connections survive its restarts: take_over() when it starts, hand_over() when it ends; samples/chat/chat.py.
"""
import array
import collections
import json
import os
import select
import socket

MOST_FDS, PACKET, HAND_OVER = 253, 65536, "org.launchd-cs.HandOver"


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
        self.is_watching, self.drain, self.is_deserted = False, None, False

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
        data, fds = receive(self.socket)
        if not data:
            raise EOFError("the supervisor has closed the channel")
        return json.loads(data), fds

    def _happened(self, event, fds):
        if event["event"] == "Wanted":    # the kernel keeps the supervisor from taking what was published
            fd = self.published.get(event["name"])
            self.send("Give", {"ask": event["ask"]}, [fd] if fd == event["number"] else [], oneway=True)
        else:
            self.drain = event if event["event"] == "Drain" else self.drain
            self.events.append((event, fds))

    def subscribe(self):
        """Events come from now on."""
        if not self.is_watching:
            self.call("Watch", more=True)
            self.is_watching = True

    def next_event(self):
        """Waits for an event: (parameters, descriptors). Answers what siblings want meanwhile."""
        while not self.events:
            packet, fds = self._receive()
            self._happened(packet.get("parameters", {}), fds)
        return self.events.popleft()

    def watch(self):
        """Events for ever."""
        self.subscribe()
        while True:
            yield self.next_event()

    def request(self, service, name, **options):
        return self.call("Request", {"service": service, "name": name, **options})[1][0]

    def publish(self, name, fd):
        self.call("Publish", {"name": name, "number": fd})
        self.published[name] = fd

    def store(self, name, fds, **options):
        return self.call("Store", {"name": name, **options}, fds)[0]

    def take_over(self, until):
        """
        For an instance that starts, once it has said READY=1 and before it serves: what its predecessor hands over, as a TakeOver. None:
        nothing, at once or when the predecessor has ended, or because `until` can be read from.
        """
        self.subscribe()
        has_predecessor = "predecessor" in self.call("Describe")[0]
        while self.events or has_predecessor:
            if not self.events and until in select.select([self.socket, until], [], [])[0]:
                return None
            event, fds = self.next_event()
            has_predecessor = has_predecessor and event["event"] != "PredecessorEnded"
            if event["event"] == "Received" and event["name"] == HAND_OVER:
                taken = TakeOver.receive(socket.socket(fileno=fds[0]))
                if taken:
                    return taken
        return None

    def hand_over(self):
        """For an instance that is to end: a HandOver, to be waited for and completed while it serves on. None: nobody takes over."""
        self.subscribe()
        self.call("Describe")    # the stop signal may be faster than the drain: what was told before this answer is known now
        if self.drain and "successor" not in self.drain:
            return None
        self.is_deserted &= all(event["event"] != "HandOver" for event, _ in self.events)
        self.events.clear()
        if not self.is_deserted:
            link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self.call("HandOver", {"name": HAND_OVER}, [theirs.fileno()])
                return HandOver(self, link)
            except Refused as refused:
                link.close()
                if refused.error != "NotReady":
                    raise
            finally:
                theirs.close()
        return HandOver(self, None) if self.drain else None    # without a drain nothing says that another will come


class HandOver:
    """Can be read from when the successor asks for everything, or when there is news: complete() tells which."""

    def __init__(self, channel, link):
        self.channel, self.link = channel, link

    def fileno(self):
        return (self.link or self.channel.socket).fileno()

    def complete(self, state, fds, patience=5.0):
        """Everything or nothing. True: it is the successor's. False: it is still ours, as it was; call hand_over() again."""
        if self.link is None:
            event, _ = self.channel.next_event()
            self.channel.is_deserted = event["event"] != "HandOver"
            return False
        memory = os.memfd_create("state")
        packets = [(b"state", [memory]), *((b"some", fds[i : i + 128]) for i in range(0, len(fds), 128)), (b"all", [])]
        taken = False
        try:
            os.pwrite(memory, state, 0)    # and who reads it begins at its beginning
            self.link.settimeout(patience)
            # The successor asks for each packet, and at last says that it has taken them all.
            self.channel.is_deserted = not all(receive(self.link)[0] == b"next" and send(self.link, *packet) for packet in packets)
            taken = not self.channel.is_deserted and receive(self.link)[0] == b"taken"
        except OSError:
            pass    # no patience any more
        finally:
            os.close(memory)
        taken = taken or not self._keep()
        self.link.close()
        return taken

    def _keep(self):
        """Changes our mind. False: too late."""
        self.link.shutdown(socket.SHUT_RD)    # the kernel lets nothing in from here on; what is there counts
        while word := receive(self.link)[0]:
            if word == b"taken":
                return False
        send(self.link, b"kept")
        return True


class TakeOver:
    """What a predecessor hands over: state, fds; is_complete is False when it died in the middle. To be confirmed."""

    def __init__(self, link, state, fds, is_complete):
        self.link, self.state, self.fds, self.is_complete = link, state, fds, is_complete

    @classmethod
    def receive(cls, link):
        """None: the predecessor has kept everything, or died before it had sent anything of use."""
        state, all_fds = None, []
        while True:
            send(link, b"next")
            word, fds = receive(link)
            if word == b"state":
                with open(fds[0], "rb") as memory:
                    state = os.pread(memory.fileno(), os.fstat(memory.fileno()).st_size, 0)
            elif word == b"some":
                all_fds += fds
            elif state is not None and word in (b"all", b""):
                return cls(link, state, all_fds, word == b"all")
            else:
                for fd in all_fds:
                    os.close(fd)
                link.close()
                return None

    def confirm(self):
        """From here on all is ours. An error: the predecessor has lost its patience and goes on by itself; end, and touch nothing."""
        if self.is_complete and not send(self.link, b"taken") and receive(self.link)[0] == b"kept":
            raise InterruptedError("the predecessor did not wait any longer and goes on by itself")
        self.link.close()


def send(sock, word, fds=()):
    """One packet; False when nobody reads it any more."""
    try:
        sock.sendmsg([word], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        return True
    except (BrokenPipeError, ConnectionResetError):
        return False


def receive(sock):
    """One packet and its descriptors; nothing at the end."""
    while True:
        try:
            data, control, flags, _ = sock.recvmsg(PACKET, socket.CMSG_SPACE(4 * MOST_FDS), socket.MSG_CMSG_CLOEXEC)
            break
        except ConnectionResetError:
            pass    # the other end is gone, and had not read all; what it sent comes after this
    fds = array.array("i")
    for level, kind, rest in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(rest[: len(rest) - len(rest) % fds.itemsize])
    if flags & socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise OSError("no room for descriptors")
    return data, list(fds)
