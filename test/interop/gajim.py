#!/usr/bin/python3
"""Gajim in a window: it logs in with an account from its settings, trusting the
server's certificate, is told something, and sends an answer that is typed into it."""

import asyncio
import json
import os
import sqlite3

from friend import PASSWORD, Friend, Score, Screen, befriend, perform


async def settings(screen, jid, port):
    """Has Gajim make its own settings at a first start, and puts an account into them."""
    file = screen.home + "/.config/gajim/settings.sqlite"
    first = screen.start("dbus-run-session", "--", "gajim")
    await screen.window("Gajim|Account", 40)
    screen.picture("0-first-start")
    os.killpg(first.pid, 15)
    first.wait(10)
    user, host = jid.split("@")
    account = {
        "name": user, "address": jid, "hostname": host, "password": PASSWORD, "savepass": True, "active": True, "autoconnect": True,
        "resource": "gajim", "use_custom_host": True, "custom_host": "127.0.0.1", "custom_port": port,
        "custom_type": "START TLS", "account_label": user, "restore_last_status": False,
    }
    with sqlite3.connect(file) as db:
        db.execute("INSERT INTO account_settings(account, settings) VALUES (?, ?)", ("work", json.dumps({"account": account, "contact": {}, "group_chat": {}})))
        (app,) = db.execute("SELECT settings FROM settings WHERE name = 'app'").fetchone()
        options = json.loads(app)
        options.update({"use_keyring": False, "remote_control": False, "check_for_update": False, "show_main_window": "always"})
        db.execute("UPDATE settings SET settings = ? WHERE name = 'app'", (json.dumps(options),))
    store = screen.home + "/.local/share/gajim/cert_store"
    os.makedirs(store, exist_ok=True)
    with open(os.environ["CERTIFICATE"]) as pem, open(store + "/server", "w") as f:
        text = pem.read()
        start = text.index("-----BEGIN CERTIFICATE")
        f.write(text[start:text.index("-----END CERTIFICATE") + 25] + "\n")


async def gajim(port, own, friend_jid, shots):
    score, screen = Score(), Screen(shots, "gajim")
    try:
        friend = await Friend(friend_jid + "/friend", port).enter()
        await befriend(friend, own)
        await settings(screen, own, port)
        screen.start("dbus-run-session", "--", "gajim", "--verbose", "xmpp:%s?message" % friend_jid)
        here = await friend.sees(own, 60)
        score.say("Gajim is online", here is not None, str(here or ""))
        screen.picture("1-online")
        chooser = await screen.window("Start / Join Chat")
        score.say("it offers to chat", chooser != "")
        screen.do("windowactivate", "--sync", chooser)
        screen.do("key", "ctrl+a")
        screen.do("type", "--delay", "25", friend_jid)
        await asyncio.sleep(2)
        screen.do("key", "Return")
        await asyncio.sleep(2)
        friend.send_message(own, "Do you read me?", mtype="chat")
        await asyncio.sleep(3)
        screen.picture("2-message")
        window = await screen.window("^Gajim|friend")
        score.say("there is a window", window != "")
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


perform(gajim)
