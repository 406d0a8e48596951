"""The chat server of Program.cs in Python: same lines, same state, so that each of the two can take over from the other."""
import base64, json, os, select, signal, socket, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import launchd

LONGEST_LINE, MOST_OUTPUT = 4096, 1 << 20


class Client:
    """One connection, and all about it that the kernel does not know."""

    def __init__(self, connection, nick=None, input="", output=""):
        connection.setblocking(False)
        self.socket, self.nick, self.input, self.output = connection, nick, base64.b64decode(input), base64.b64decode(output)

    def save(self):
        return {"nick": self.nick, "input": base64.b64encode(self.input).decode(), "output": base64.b64encode(self.output).decode()}

    def read(self):
        """The lines that are whole now. None: it has gone, or says too much at once."""
        data = self.socket.recv(LONGEST_LINE)
        *lines, self.input = (self.input + data).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines] if data and len(self.input) <= LONGEST_LINE else None

    def write(self):
        """Hands the kernel what it takes. None: the client does not read."""
        self.output = self.output[self.socket.send(self.output):]
        return [] if len(self.output) <= MOST_OUTPUT else None


class Room:
    """Everybody who is here. When serve() has returned nothing is under way: all there is to know can be handed over."""

    def __init__(self, listener):
        listener.setblocking(False)
        self.listener, self.clients, self.number = listener, [], 0

    def save(self):
        return json.dumps({"number": self.number, "clients": [client.save() for client in self.clients]}).encode()

    def restore(self, state, fds):
        saved = json.loads(state)    # of more clients than there are connections, if the predecessor died in the middle
        self.number = saved["number"]
        self.clients = [Client(socket.socket(fileno=fd), **client) for fd, client in zip(fds, saved["clients"])]

    def serve(self, until):
        while True:    # or until that can be read from
            clients = {client.socket.fileno(): client for client in self.clients}
            poll = select.poll()
            for waiting in (until, self.listener, *clients):
                poll.register(waiting, select.POLLIN | (select.POLLOUT if waiting in clients and clients[waiting].output else 0))
            for fd, events in poll.poll():
                if fd == until.fileno():
                    return
                try:
                    self.turn(clients.get(fd), events)
                except OSError:
                    self.leave(clients.get(fd))

    def turn(self, client, events):
        if client is None:
            return self.clients.append(Client(self.listener.accept()[0]))
        lines = client.write() if events & select.POLLOUT else client.read()
        for line in lines or []:
            text = f"{line} has come" if client.nick is None else f"{client.nick}: {line}"
            client.nick = line if client.nick is None else client.nick
            self.say(text)
        if lines is None:
            self.leave(client)

    def leave(self, client):
        if client in self.clients:    # and did not leave before it was accepted
            self.clients.remove(client)
            client.socket.close()
            if client.nick is not None:
                self.say(f"{client.nick} has left")

    def say(self, text):
        self.number += 1
        for client in self.clients:
            client.output += b"" if client.nick is None else f"{self.number} {text}\n".encode()


channel = launchd.Channel.open()
ending, wake = socket.socketpair()
wake.setblocking(False)
signal.signal(signal.SIGTERM, lambda *_: None)
signal.set_wakeup_fd(wake.fileno())
room = Room(socket.socket(fileno=launchd.listen_fds()[0][0]))
launchd.notify("READY=1")                    # ready to take over; the predecessor serves on until we have proven ourselves
if before := channel.take_over(until=ending):
    room.restore(before.state, before.fds)
    before.confirm()                         # from here on the clients are ours
room.serve(until=ending)
while hand_over := channel.hand_over():      # None: nobody takes over
    room.serve(until=hand_over)              # until the successor is there; then everything stands still
    if hand_over.complete(room.save(), [client.socket.fileno() for client in room.clients]):
        break
