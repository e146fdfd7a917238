"""A client as the parts of a play see it."""

import sqlite3

from screen import Screen, until
from wire import Wire


class Device:
    """One client of one account, on a screen and a wire of its own."""

    client = ""  # what it is called
    archives = True  # does it read the archive (XEP-0313)?
    replaces = True  # does what it keeps have the correction only (XEP-0308)?
    edits = "ctrl+Up"  # the key that brings back what was typed last
    resumes = True  # does it take up its session after it was cut off (XEP-0198)?
    _addresses = iter("192.0.2.%d" % n for n in range(2, 250))

    def __init__(self, jid, resource, port, shots):
        self.jid, self.resource, self.port = jid, resource, port
        self.screen = Screen(shots, resource)
        self.wire = Wire(next(Device._addresses), port)

    async def begin(self, friend):
        """Starts the client; whether friend has seen it come."""
        await self.wire.open()
        await self.start()
        return await until(lambda: "%s/%s" % (self.jid, self.resource) in friend.online, 60)

    async def start(self):
        """Gives the client a profile and starts it."""
        raise NotImplementedError

    async def open(self, jid):
        """Opens the chat with somebody, in self.window."""
        raise NotImplementedError

    async def say(self, jid, text):
        """Types something into the chat with somebody."""
        await self.open(jid)
        await self.screen.type(self.window, text)

    async def correct(self, jid, text):
        """Makes another text of what was typed last."""
        await self.open(jid)
        self.screen.do("key", self.edits)
        self.screen.do("key", "ctrl+a")
        await self.screen.type(self.window, text)

    async def block(self, jid):
        raise NotImplementedError

    async def unblock(self, jid):
        raise NotImplementedError

    def count(self, text):
        """How many messages with exactly this text it keeps."""
        raise NotImplementedError

    def refused(self, text):
        """Whether it has noted that this message came back as an error; None if it keeps no note."""

    def close(self):
        self.screen.close()
        self.wire.close()


def rows(file, query, *arguments):
    """What a client's own database says; nothing while there is none."""
    try:
        db = sqlite3.connect("file:%s?mode=ro" % file, uri=True, timeout=5)
        try:
            return db.execute(query, arguments).fetchall()
        finally:
            db.close()
    except sqlite3.OperationalError:
        return []
