#!/usr/bin/python3
"""Psi+ in a window: its account comes from its profile, the server's certificate is
trusted by hand, and its keyboard and its menus are used."""

import os
import uuid
from xml.sax.saxutils import escape

from device import Device, rows
from friend import PASSWORD, perform
from parts import Play


def tree(options):
    """Psi's XML for nested options: each leaf names its type."""
    out = ""
    for name, value in options.items():
        if isinstance(value, dict):
            out += "<%s>%s</%s>" % (name, tree(value), name)
        else:
            kind = {bool: "bool", int: "int", str: "QString"}[type(value)]
            text = str(value).lower() if kind == "bool" else escape(str(value))
            out += '<%s type="%s">%s</%s>' % (name, kind, text, name)
    return out


def hidden(password, jid):
    """How Psi writes a password: each character XORed with one of the JID, in hexadecimal."""
    return "".join("%04x" % (ord(c) ^ ord(jid[i % len(jid)])) for i, c in enumerate(password))


def profile(home, jid, resource, host, port):
    config = home + "/.config/psi+"
    os.makedirs(config + "/profiles/default")
    with open(config + "/psirc", "w") as f:
        f.write("[%General]\nlast_profile=default\nlast_lang=en\nauto_open=true\n")
    account = {
        "enabled": True, "auto": True, "id": "{%s}" % uuid.uuid4(), "name": "work", "jid": jid, "password": hidden(PASSWORD, jid),
        "use-host": True, "host": host, "port": port, "ssl": "auto", "security-level": 0,
        "allow-plain": "over encryped", "automatic-resource": False, "resource": resource, "priority": 5, "reconn": True,
        "keep-alive": True, "enable-sm": True, "log": True,
    }
    with open(config + "/profiles/default/accounts.xml", "w") as f:
        f.write('<!DOCTYPE accounts><accounts version="1.4" xmlns="http://psi-im.org/options"><accounts><a0>%s</a0></accounts></accounts>' % tree(account))
    options = {
        "keychain": {"enabled": False},
        "p2p": {"bytestreams": {"listen-port": 0}},
        "vcard": {"query-own-vcard-on-login": False},
        "ui": {"message": {"auto-popup": True}, "chat": {"auto-popup": True, "default-jid-mode": "barejid"},
               "tip": {"show": False}, "tabs": {"use-tabs": False}},
    }
    with open(config + "/profiles/default/options.xml", "w") as f:
        f.write('<!DOCTYPE options><options version="1.4" xmlns="http://psi-im.org/options"><options>%s</options></options>' % tree(options))


class Psi(Device):
    client = "psi"
    archives = False
    replaces = False
    resumes = False

    async def start(self):
        profile(self.screen.home, self.jid, self.resource, self.wire.address, self.wire.port)
        self.screen.start("psi-plus", "--profile=default")
        question = await self.screen.window("Server Authentication", 40)
        await self.screen.front(question)
        self.screen.picture("certificate")
        self.screen.do("key", "alt+t")  # "Trust this certificate"

    async def open(self, jid):
        await self.screen.call("psi-plus", "--profile=default", "--remote", "--uri=xmpp:%s?message;type=chat" % jid)
        self.window = await self.screen.window(jid.split("@")[0])
        await self.screen.front(self.window)

    async def block(self, jid):
        await self._toggle_block()

    async def unblock(self, jid):
        await self._toggle_block()

    async def _toggle_block(self):
        """Chooses Block or Unblock in the menu of the only contact. It has no key there."""
        contacts = await self.screen.window("^Psi\\+$")
        await self.screen.front(contacts)
        self.screen.do("mousemove", "--window", contacts, "125", "154", "click", "3")
        await self.screen.calm()
        self.screen.picture("block-menu")
        self.screen.do("mousemove_relative", "--sync", "30", "194")
        self.screen.do("click", "1")

    def count(self, text):
        return len(rows(self.screen.home + "/.local/share/psi+/profiles/default/history/history.db", "SELECT 1 FROM events WHERE m_text = ?", text))


if __name__ == "__main__":
    from dino import Dino
    from gajim import Gajim
    perform(Play("psi", [Psi, Psi], [Gajim, Dino], fresh=Gajim))
