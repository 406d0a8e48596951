"""A small HTTP/1.1 server that knows how to leave: takes listener 3, says READY=1, and on SIGTERM stops accepting and finishes what it has.

Each answer names the request's id and the server's generation, so that a client can account for every request.
"""
import asyncio
import os
import signal
import socket

LINGER = 5.0  # how long an idle keep-alive connection may still send its next request


def notify(text):
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)


class Server:
    def __init__(self):
        self.open = set()
        self.leaving = asyncio.Event()
        self.mark = os.environ.get("GENERATION", "0")

    async def serve(self, connection):
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LINGER if self.leaving.is_set() else None)
                path = head.split(b" ", 2)[1].decode()
                last = self.leaving.is_set() or b"Connection: close" in head
                body = f"{path} {self.mark} {os.getpid()}".encode()
                end = b"Connection: close\r\n" if last else b""
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), end, body))
                await writer.drain()
                if last:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass
        finally:
            writer.close()

    def accept(self, listener):
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return  # another generation has the same listener and was faster
        connection.setblocking(False)
        # From here on it is ours, and counted at once: nothing may fall between accept and the first byte.
        task = asyncio.ensure_future(self.serve(connection))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    async def run(self):
        loop = asyncio.get_running_loop()
        listener = socket.socket(fileno=3)
        listener.setblocking(False)
        loop.add_signal_handler(signal.SIGTERM, self.leaving.set)
        loop.add_reader(listener, self.accept, listener)
        notify("READY=1")
        await self.leaving.wait()
        # What the kernel has queued belongs to whoever accepts it: the successor has the same listener.
        loop.remove_reader(listener)
        while self.open:
            await asyncio.wait(set(self.open), timeout=LINGER)
        os._exit(0)


asyncio.run(Server().run())
