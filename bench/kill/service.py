#!/usr/bin/env python3
"""The three services of kill.py. Each says over FOLDER/births that it lives, and ends with status 7 when it is told "end" there.

    service.py FOLDER web 3|0|PORT    answers on the listener that it was given as that descriptor, or on a port that it opens itself
    service.py FOLDER lines           writes a line with a running number every 5 ms, and how many were taken into FOLDER/TOKEN
    service.py FOLDER end             does nothing

A request is "ask N", answered with N; or "hold", answered with "held", and with "done" when the client says a second word.
"""
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import time


def answer(client):
    with client, client.makefile("rw") as lines:
        request = lines.readline().split()
        if request[:1] == ["hold"]:
            print("held", file=lines, flush=True)
            answered = "done" if lines.readline() else ""
        else:
            answered = request[-1] if request else ""
        print(answered, file=lines, flush=True)


def quietly(client):
    try:
        answer(client)
    except OSError:
        pass  # The client has gone; it counts that itself.


def web(where, ending):
    number = int(where)
    if number > 3:
        listener = socket.create_server(("127.0.0.1", number), backlog=1024)
    else:
        listener = socket.socket(fileno=number)
    listener.setblocking(False)
    answering = []
    while select.select([listener, ending], [], [])[0] != [ending]:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            continue  # A second copy was faster.
        client.setblocking(True)
        answering = [thread for thread in answering if thread.is_alive()]
        answering.append(threading.Thread(target=quietly, args=(client,)))
        answering[-1].start()
    # What was accepted is answered, so that whatever a client misses was lost in the queue of the port.
    for thread in answering:
        thread.join()
    os._exit(7)


def lines(folder, token):
    # As most programs: whoever writes to a pipe that nobody reads is ended by SIGPIPE.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    with open(os.path.join(folder, token), "w+b") as file:
        file.truncate(8)
        taken = mmap.mmap(file.fileno(), 8)
    number = 0
    while True:
        os.write(1, b"%s %d\n" % (token.encode(), number + 1))
        number += 1
        struct.pack_into("<Q", taken, 0, number)
        time.sleep(0.005)


def heed(ledger):
    if ledger.recv(16).startswith(b"end"):
        os._exit(7)


def main():
    folder, name = sys.argv[1:3]
    token = os.urandom(6).hex()
    ledger = socket.socket(socket.AF_UNIX)
    ledger.connect(os.path.join(folder, "births"))
    ledger.sendall(f"{name} {token}\n".encode())
    if name == "web":
        web(sys.argv[3], ledger)
    threading.Thread(target=heed, args=(ledger,), daemon=True).start()
    if name == "lines":
        lines(folder, token)
    while True:
        signal.pause()


main()
