#!/usr/bin/python3
"""profanity in a terminal of its own: it logs in, shows a message that comes, and
sends what is typed into it."""

import asyncio
import os
import re
import subprocess

from friend import PASSWORD, Friend, Score, befriend, perform
import tempfile


class Terminal:
    """A tmux of its own with one program in it."""

    def __init__(self, home, command):
        self.tmux = ["tmux", "-S", home + "/tmux", "-f", "/dev/null"]
        env = dict(os.environ, HOME=home, XDG_CONFIG_HOME=home + "/config", XDG_DATA_HOME=home + "/data",
                   TERM="xterm-256color", LANG="C.UTF-8")
        subprocess.run(self.tmux + ["new-session", "-d", "-x", "130", "-y", "40", command], env=env, check=True)

    async def line(self, text):
        subprocess.run(self.tmux + ["send-keys", "-l", text], check=True)
        await asyncio.sleep(0.3)
        subprocess.run(self.tmux + ["send-keys", "Enter"], check=True)

    def screen(self):
        return subprocess.run(self.tmux + ["capture-pane", "-p"], capture_output=True, text=True).stdout

    async def shows(self, pattern, seconds=20):
        for _ in range(seconds * 5):
            if re.search(pattern, self.screen()):
                return True
            await asyncio.sleep(0.2)
        return False

    def close(self):
        subprocess.run(self.tmux + ["kill-server"], stderr=subprocess.DEVNULL)


async def profanity(port, own, friend_jid, shots):
    score = Score("profanity")
    friend = await Friend(friend_jid + "/friend", port).enter()
    await befriend(friend, own)
    with tempfile.TemporaryDirectory(prefix="gabberd-client-") as home:
        os.makedirs(home + "/config/profanity")
        os.makedirs(home + "/data/profanity")
        with open(home + "/config/profanity/profrc", "w") as f:
            f.write("[ui]\nsplash=false\n[notifications]\nmessage=off\n")
        with open(home + "/data/profanity/accounts", "w") as f:
            f.write("[work]\nenabled=true\njid=%s\nserver=127.0.0.1\nport=%d\nresource=profanity\npassword=%s\n"
                    "tls.policy=trust\nauth.policy=default\n" % (own, port, PASSWORD))
        terminal = Terminal(home, "profanity")
        try:
            await terminal.shows("Type '/help'|Profanity|console")
            await terminal.line("/connect work")
            here = await friend.sees(own)
            score.say("profanity is online", here is not None, str(here or ""))
            await terminal.line("/msg %s Hello from profanity" % friend_jid)
            score.say("its message arrives", bool(await friend.hears("Hello from profanity")))
            friend.send_message(own, "Hello to profanity", mtype="chat")
            score.say("the answer is shown", await terminal.shows("Hello to profanity"))
            await terminal.line("/roster")
            with open(shots + "/profanity.txt", "w") as f:
                f.write(terminal.screen())
            if score.failed:
                print(terminal.screen())
            await terminal.line("/quit")
        finally:
            terminal.close()
    await friend.disconnect()
    return score


perform(profanity)
