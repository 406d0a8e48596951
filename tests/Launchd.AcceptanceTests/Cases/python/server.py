"""Answers each connection with the name of the socket that it came in by, and with what was sent."""
import os
import selectors
import socket

assert os.environ["LISTEN_PID"] == str(os.getpid()), "LISTEN_PID is not mine"
names = os.environ["LISTEN_FDNAMES"].split(":")
assert len(names) == int(os.environ["LISTEN_FDS"]), names

waiting = selectors.DefaultSelector()
for number, name in enumerate(names, start=3):
    waiting.register(socket.socket(fileno=number), selectors.EVENT_READ, name)

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect(os.environ["NOTIFY_SOCKET"])
    notify.send(b"READY=1")

while True:
    for key, _ in waiting.select():
        connection, _ = key.fileobj.accept()
        with connection:
            asked = b""
            while part := connection.recv(4096):
                asked += part
            connection.sendall(key.data.encode() + b": " + asked)
