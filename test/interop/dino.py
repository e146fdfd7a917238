#!/usr/bin/python3
"""Dino in a window: its account is put into its own database. It knows no other
way to the server than the domain, and trusts only whom the machine trusts, so it
sees the machine's files with that domain and the server's certificate in them."""

import os
import sqlite3

from device import Device, rows
from friend import PASSWORD, perform
from parts import Play
from screen import until

NAME, PATH = "im.dino.Dino", "/im/dino/Dino"


class Dino(Device):
    client = "dino"

    async def start(self):
        with open(self.screen.home + "/hosts", "w") as f:
            f.write("%s %s\n" % (self.wire.address, self.jid.split("@")[1]))
        first = self._run()
        await self.screen.window("Dino|Welcome", 40)
        os.killpg(first.pid, 15)
        await until(lambda: first.poll() is not None)
        with sqlite3.connect(self._database()) as db:
            db.execute("INSERT INTO account(bare_jid, resourcepart, password, enabled) VALUES (?, ?, ?, 1)", (self.jid, self.resource, PASSWORD))
        self._run()

    def _run(self):
        return self.screen.start("dino-im", mounts=[
            (self.screen.home + "/hosts", "/etc/hosts"), (os.environ["CERTIFICATE"], "/etc/ssl/certs/ca-certificates.crt")])

    async def open(self, jid):
        await self.screen.call("gdbus", "call", "--session", "--timeout", "10", "--dest", NAME, "--object-path", PATH, "--method",
                               "org.freedesktop.Application.Open", "['xmpp:%s?message']" % jid, "{}")
        self.window = await self.screen.window(jid.split("@")[0], 10) or await self.screen.window("Dino")
        await self.screen.front(self.window)

    async def block(self, jid):
        await self._toggle_block(jid)

    async def unblock(self, jid):
        await self._toggle_block(jid)

    async def _toggle_block(self, jid):
        """Moves the last switch among the details of a contact."""
        await self.open(jid)
        self.screen.do("mousemove", "--window", self.window, "768", "27", "click", "1")
        await self.screen.window("Contact Details", 5)
        await self.screen.calm()
        self.screen.do("key", "shift+Tab", "space")
        await self.screen.calm()
        self.screen.picture("block-switch")
        self.screen.do("key", "Escape")
        await self.screen.calm()

    def count(self, text):
        return len(rows(self._database(), "SELECT 1 FROM message m JOIN content_item c ON c.foreign_id = m.id AND c.content_type = 1 "
                        "WHERE m.body = ? AND NOT c.hide", text))

    def _database(self):
        return self.screen.home + "/.local/share/dino/dino.db"


if __name__ == "__main__":
    from gajim import Gajim
    from psi import Psi
    perform(Play("dino", [Dino, Dino], [Gajim, Psi], fresh=Dino))
