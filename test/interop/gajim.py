#!/usr/bin/python3
"""Gajim in a window: its account comes from its settings, it trusts the server's
certificate, and its keyboard and the actions of its menus are used."""

import json
import os
import shutil
import sqlite3

from device import Device, rows
from friend import PASSWORD, perform
from parts import Play
from screen import until

NAME, PATH = "org.gajim.Gajim", "/org/gajim/Gajim"


class Gajim(Device):
    client = "gajim"

    async def start(self):
        self.chats = set()
        await self._settings()
        self.screen.start("gajim", "--verbose")

    async def _settings(self):
        """Has Gajim make its own settings at a first start, and puts an account into them."""
        home = self.screen.home
        file = home + "/.config/gajim/settings.sqlite"
        first = self.screen.start("gajim")
        await self.screen.window("Gajim|Account", 40)
        await self.screen.action(NAME, PATH, "quit")
        await until(lambda: first.poll() is not None, 20)
        user, host = self.jid.split("@")
        account = {
            "name": user, "address": self.jid, "hostname": host, "password": PASSWORD, "savepass": True, "active": True,
            "autoconnect": True, "resource": self.resource, "use_custom_host": True, "custom_host": self.wire.address,
            "custom_port": self.wire.port, "custom_type": "START TLS", "account_label": user, "restore_last_status": False,
        }
        with sqlite3.connect(file) as db:
            db.execute("INSERT INTO account_settings(account, settings) VALUES (?, ?)",
                       ("work", json.dumps({"account": account, "contact": {}, "group_chat": {}})))
            (app,) = db.execute("SELECT settings FROM settings WHERE name = 'app'").fetchone()
            options = json.loads(app)
            options.update({"use_keyring": False, "check_for_update": False, "show_main_window_on_startup": "always"})
            db.execute("UPDATE settings SET settings = ? WHERE name = 'app'", (json.dumps(options),))
        store = home + "/.local/share/gajim/cert_store"
        os.makedirs(store, exist_ok=True)
        shutil.copy(os.environ["CERTIFICATE"], store + "/server")

    async def open(self, jid):
        await self.screen.action(NAME, PATH, "open-chat", '["work", "%s"]' % jid)
        if jid not in self.chats:  # it asks once whom that is
            chooser = await self.screen.window("Start / Join Chat", 5)
            if chooser:
                await self.screen.front(chooser)
                self.screen.do("key", "Return")
                await until(lambda: not self.screen.do("search", "--onlyvisible", "--name", "Start / Join Chat"))
            self.chats.add(jid)
        self.window = await self.screen.window("^Gajim")
        await self.screen.front(self.window)

    async def block(self, jid):
        await self.screen.action(NAME, PATH, "work-block-contact", '"%s"' % jid)
        question = await self.screen.window("Block Contact")
        await self.screen.front(question)
        self.screen.do("key", "alt+b")
        self.chats.discard(jid)

    async def unblock(self, jid):
        await self.screen.action(NAME, PATH, "work-block-contact", '"%s"' % jid)

    def count(self, text):
        return len(rows(self._archive(), "SELECT 1 FROM logs WHERE message = ?", text))

    def refused(self, text):
        return bool(rows(self._archive(), "SELECT 1 FROM logs WHERE message = ? AND error IS NOT NULL", text))

    def _archive(self):
        return self.screen.home + "/.local/share/gajim/logs.db"


if __name__ == "__main__":
    from dino import Dino
    from psi import Psi
    perform(Play("gajim", [Gajim, Gajim], [Psi, Dino], fresh=Gajim))
