"""What the drivers of real clients share: somebody for the client to talk to, and a
list of what worked."""

import asyncio
import os
import sys

import slixmpp

from screen import until

PASSWORD = "secret"
SERVER = "127.0.0.1"


class Friend(slixmpp.ClientXMPP):
    """Somebody who is read by the driver. It accepts everybody as a contact."""

    def __init__(self, jid, port):
        super().__init__(jid, PASSWORD)
        self.port = port
        self.ca_certs = os.environ["CERTIFICATE"]
        for plugin in "xep_0030", "xep_0092", "xep_0199", "xep_0280":
            self.register_plugin(plugin)
        self.auto_authorize = self.auto_subscribe = True
        self.ready = asyncio.Event()
        self.texts = asyncio.Queue()
        self.heard = []
        self.errors = {}
        self.arrivals = asyncio.Queue()
        self.online = set()
        self.add_event_handler("session_start", self._started)
        self.add_event_handler("message", self._told)
        for copy in "carbon_received", "carbon_sent":
            self.add_event_handler(copy, lambda m, copy=copy: self._told(m[copy]))
        self.add_event_handler("message_error", lambda m: self.errors.update({m["id"]: m["error"]["condition"]}))
        for event in "presence_available", "presence_away", "presence_chat":
            self.add_event_handler(event, self._arrived)
        self.add_event_handler("presence_unavailable", lambda p: self.online.discard(p["from"].full))

    def _told(self, message):
        self.heard.append(message["body"])
        self.texts.put_nowait(message["body"])

    def _arrived(self, presence):
        self.online.add(presence["from"].full)
        self.arrivals.put_nowait(presence)

    async def _started(self, _):
        await self.get_roster()
        self.send_presence()
        self.ready.set()

    async def enter(self):
        self.connect((SERVER, self.port))
        await asyncio.wait_for(self.ready.wait(), 30)
        return self

    async def sees(self, jid, seconds=45, setup=False):
        """Waits until somebody comes online, and returns their full JID. What befriend
        does on their behalf does not count, unless setup."""
        async def wait():
            while True:
                presence = await self.arrivals.get()
                if presence["from"].bare == jid and (setup or presence["from"].resource != "setup"):
                    return presence["from"]
        return await _unless_late(wait(), seconds)

    async def hears(self, text, seconds=20):
        """Waits until somebody has said something with that text in it."""
        async def wait():
            while text not in await self.texts.get():
                pass
            return True
        return await _unless_late(wait(), seconds)

    def says(self, jid, text):
        """Says something; returns the id of the message."""
        message = self.make_message(mto=jid, mbody=text, mtype="chat")
        message["id"] = self.new_id()
        message.send()
        return message["id"]


async def _unless_late(what, seconds):
    try:
        return await asyncio.wait_for(what, seconds)
    except asyncio.TimeoutError:
        return None


async def befriend(friend, jid):
    """Makes a user, who has no client yet, a contact of friend, both ways."""
    other = await Friend(jid + "/setup", friend.port).enter()
    other.send_presence(pto=friend.boundjid.bare, ptype="subscribe")
    await friend.sees(jid, setup=True)
    for _ in range(100):  # until the other direction, which follows by itself, is there as well
        await other.get_roster()
        if other.client_roster[friend.boundjid.bare]["subscription"] == "both":
            break
        await asyncio.sleep(0.1)
    else:
        sys.exit("the two did not become contacts")
    await other.disconnect()
    await until(lambda: jid + "/setup" not in friend.online)


class Score:
    """What worked and what did not."""

    def __init__(self, client=""):
        self.failed, self.client = 0, client

    def say(self, what, worked, more=""):
        print("%s %s: %s%s" % ("PASS" if worked else "FAIL", self.client, what, ": " + more if more else ""), flush=True)
        self.failed += not worked


def perform(driver, seconds=450):
    """Runs driver(port, own JID, friend's JID, folder for pictures) and exits with what it scored."""
    port, own, friend, shots = sys.argv[1:5]
    score = asyncio.run(asyncio.wait_for(driver(int(port), own, friend, shots), seconds))
    sys.exit(1 if score.failed else 0)
