#!/usr/bin/python3
"""slixmpp_chat.py HOST PORT CERTIFICATE: two slixmpp clients become contacts and chat.

romeo@localhost and juliet@localhost (password "secret") must exist and have
empty rosters. The server must show the certificate that CERTIFICATE holds. Each
thing that works is a line; the exit code is 0 when all of them do.
"""

import asyncio
import sys

import slixmpp

PATIENCE = 20  # seconds, for what will happen


class Client(slixmpp.ClientXMPP):
    """A client that keeps what it receives until somebody looks at it."""

    def __init__(self, jid, certificate):
        super().__init__(jid, "secret")
        self.ca_certs = certificate
        for plugin in "xep_0030", "xep_0012", "xep_0092", "xep_0199", "xep_0202", "xep_0203":
            self.register_plugin(plugin)
        self.auto_authorize = None  # subscriptions are answered by hand
        self.auto_subscribe = False
        self.started = asyncio.Event()
        self.failed = None
        self.events = {}
        self.add_event_handler("session_start", lambda _: self.started.set())
        for name in "failed_all_auth", "ssl_invalid_cert", "connection_failed":
            self.add_event_handler(name, lambda _, name=name: self.fail(name))
        for name in ("message", "presence_available", "presence_unavailable", "presence_subscribe",
                     "presence_subscribed", "presence_away"):
            self.events[name] = asyncio.Queue()
            self.add_event_handler(name, self.events[name].put_nowait)

    def fail(self, why):
        self.failed = why
        self.started.set()

    async def login(self, address):
        self.connect(address)
        await asyncio.wait_for(self.started.wait(), PATIENCE)
        if self.failed:
            sys.exit("%s: %s" % (self.boundjid, self.failed))

    async def next(self, name, fits):
        """The next event of that name that fits."""
        while True:
            event = await asyncio.wait_for(self.events[name].get(), PATIENCE)
            if fits(event):
                return event


def worked(what, really=True):
    print(("ok   " if really else "FAIL ") + what, flush=True)
    if not really:
        sys.exit(1)


def of(jid):
    return lambda stanza: stanza["from"] == jid


async def main(host, port, certificate):
    address = (host, int(port))
    romeo = Client("romeo@localhost/orchard", certificate)
    juliet = Client("juliet@localhost/balcony", certificate)

    await romeo.login(address)
    cipher = romeo.transport.get_extra_info("cipher")
    worked("log in over %s, certificate checked" % cipher[1], cipher is not None)
    romeo.send_presence()
    await romeo.get_roster()
    worked("empty roster", not [j for j in romeo.client_roster.keys() if j != "romeo@localhost"])

    romeo.send_message("juliet@localhost", "while you were away")
    await romeo["xep_0199"].ping("localhost", timeout=PATIENCE)
    await juliet.login(address)
    await juliet.get_roster()
    juliet.send_presence()
    late = await juliet.next("message", of("romeo@localhost/orchard"))
    worked("offline message", late["body"] == "while you were away" and late["delay"]["stamp"] is not None)

    for one, other in (romeo, juliet), (juliet, romeo):
        one.send_presence_subscription(other.boundjid.bare)
        await other.next("presence_subscribe", of(one.boundjid.bare))
        other.send_presence(pto=one.boundjid.bare, ptype="subscribed")
        await one.next("presence_subscribed", of(other.boundjid.bare))
    for one, other in (romeo, juliet), (juliet, romeo):
        await one.next("presence_available", of(other.boundjid.full))
        await one.get_roster()
        worked("%s has %s in the roster" % (one.boundjid.user, other.boundjid.user),
               one.client_roster[other.boundjid.bare]["subscription"] == "both")

    romeo.send_message(juliet.boundjid.bare, "It is the east", mtype="chat")
    heard = await juliet.next("message", of(romeo.boundjid.full))
    worked("message", heard["body"] == "It is the east" and heard["type"] == "chat")
    heard.reply("Wherefore art thou?").send()
    answer = await romeo.next("message", of(juliet.boundjid.full))
    worked("answer", answer["body"] == "Wherefore art thou?")

    juliet.send_presence(pshow="away", pstatus="at the ball")
    seen = await romeo.next("presence_away", of(juliet.boundjid.full))
    worked("status", seen["status"] == "at the ball")

    info = await romeo["xep_0030"].get_info("localhost", timeout=PATIENCE)
    worked("disco of the server", "urn:xmpp:ping" in info["disco_info"]["features"])
    version = await romeo["xep_0092"].get_version("localhost", timeout=PATIENCE)
    worked("version of the server", bool(version["software_version"]["name"]))
    version = await romeo["xep_0092"].get_version(juliet.boundjid.full, timeout=PATIENCE)
    worked("version of the other client", bool(version["software_version"]["name"]))
    clock = await romeo["xep_0202"].get_entity_time("localhost", timeout=PATIENCE)
    # slixmpp 1.8 cannot read the <utc/> that XEP-0202 asks for.
    worked("time of the server", clock.xml.find(".//{urn:xmpp:time}utc").text.endswith("Z"))
    idle = await romeo["xep_0012"].get_last_activity("juliet@localhost", timeout=PATIENCE)
    worked("last activity", idle["last_activity"]["seconds"] == 0)

    await juliet.disconnect()
    await romeo.next("presence_unavailable", of("juliet@localhost/balcony"))
    worked("goodbye")
    await romeo.disconnect()


asyncio.get_event_loop().run_until_complete(asyncio.wait_for(main(*sys.argv[1:4]), 120))
