#!/usr/bin/python3
"""Psi+ in a window: it logs in with an account from its profile, shows a message
that comes, and sends an answer that is typed into it."""

import asyncio
import os
import uuid
from xml.sax.saxutils import escape

from friend import PASSWORD, Friend, Score, Screen, befriend, perform


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


def profile(home, jid, port):
    config = home + "/.config/psi+"
    os.makedirs(config + "/profiles/default")
    with open(config + "/psirc", "w") as f:
        f.write("[%General]\nlast_profile=default\nlast_lang=en\nauto_open=true\n")
    account = {
        "enabled": True, "auto": True, "id": "{%s}" % uuid.uuid4(), "name": "work", "jid": jid, "password": hidden(PASSWORD, jid),
        "use-host": True, "host": "127.0.0.1", "port": port, "ssl": "auto", "security-level": 0,
        "allow-plain": "over encryped", "automatic-resource": False, "resource": "psi", "priority": 5, "reconn": True,
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


async def psi(port, own, friend_jid, shots):
    score, screen = Score(), Screen(shots, "psi")
    try:
        friend = await Friend(friend_jid + "/friend", port).enter()
        await befriend(friend, own)
        profile(screen.home, own, port)
        screen.start("dbus-run-session", "--", "psi-plus", "--profile=default")
        question = await screen.window("Server Authentication")
        score.say("Psi+ shows the self-signed certificate", question != "")
        screen.picture("0-certificate")
        screen.do("windowactivate", "--sync", question)
        screen.do("key", "alt+t")  # "Trust this certificate"
        here = await friend.sees(own)
        score.say("Psi+ is online", here is not None, str(here or ""))
        try:
            version = await friend["xep_0092"].get_version(own + "/psi", timeout=20)
            name = version["software_version"]["name"] + " " + version["software_version"]["version"]
        except Exception as e:
            name = repr(e)
        score.say("it says who it is", name.startswith("Psi"), name)
        screen.picture("1-contacts")
        friend.send_message(own, "Do you read me?", mtype="chat")
        window = await screen.window(friend_jid.split("@")[0])
        score.say("the message opens a window", window != "")
        await asyncio.sleep(1)
        screen.picture("2-message")
        if window:
            await screen.type(window, "Loud and clear")
        score.say("the answer arrives", bool(await friend.hears("Loud and clear")))
        await asyncio.sleep(1)
        screen.picture("3-answer")
        if score.failed:
            print(screen.log())
        await friend.disconnect()
    finally:
        screen.close()
    return score


perform(psi)
