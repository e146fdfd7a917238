"""The network between one client and the server, which can be cut."""

import asyncio
import socket
import struct


class Wire:
    """Passes on what comes to an address of its own."""

    def __init__(self, address, port):
        self.address, self.port = address, port
        self.pairs, self.tasks, self.whole = set(), set(), True

    async def open(self):
        self.server = await asyncio.start_server(self._connected, self.address, self.port)
        return self

    async def _connected(self, reader, writer):
        if not self.whole:
            self._reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.close()
            return
        pair = (writer, far_writer)
        self.pairs.add(pair)
        ways = [asyncio.ensure_future(self._pass(reader, far_writer)), asyncio.ensure_future(self._pass(far_reader, writer))]
        self.tasks.update(ways)
        await asyncio.wait(ways)
        self.tasks.difference_update(ways)
        self.pairs.discard(pair)

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    @staticmethod
    def _reset(writer):
        """Ends a connection as a network does that is gone, not as a program that says goodbye."""
        sock = writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    def cut(self):
        """Breaks all connections, and lets none be made until mend."""
        self.whole = False
        for pair in list(self.pairs):
            for writer in pair:
                self._reset(writer)

    def mend(self):
        self.whole = True

    def close(self):
        self.cut()
        self.server.close()
        for task in self.tasks:
            task.cancel()
