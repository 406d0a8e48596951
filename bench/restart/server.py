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

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.open.add(task)
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
            self.open.discard(task)
            writer.close()

    async def accept(self, listener, loop):
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            asyncio.ensure_future(self.serve(reader, writer))

    async def run(self):
        loop = asyncio.get_running_loop()
        listener = socket.socket(fileno=3)
        listener.setblocking(False)
        loop.add_signal_handler(signal.SIGTERM, self.leaving.set)
        accepting = asyncio.ensure_future(self.accept(listener, loop))
        notify("READY=1")
        await self.leaving.wait()
        # What the kernel has queued for the listener belongs to whoever accepts it: the successor has the same listener.
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await asyncio.sleep(0)
        while self.open:
            await asyncio.wait(set(self.open), timeout=LINGER)
        os._exit(0)


asyncio.run(Server().run())
