"""Two accounts with two devices each, and what people do with them."""

import os
import subprocess

from friend import Friend, Score, befriend
from screen import until


class Play:
    """Romeo has devices of the client that is looked at, Juliet has others. Each has
    somebody more online, who is read by the driver: eye is hers, ear is his."""

    def __init__(self, client, his, hers, fresh):
        self.score = Score(client)
        self.kinds, self.fresh = (his, hers), fresh
        self.devices = []

    async def __call__(self, port, romeo, juliet, shots):
        self.port, self.romeo, self.juliet, self.shots = port, romeo, juliet, shots
        try:
            if await self.enter():
                await self.part("message", self.message)
                await self.part("carbon", self.carbon)
                await self.part("correction", self.correction)
                await self.part("history", self.history)
                await self.part("block", self.block)
                await self.part("reconnect", self.reconnect)
            if self.score.failed:
                for device in self.devices:
                    print(device.screen.log())
        finally:
            for device in self.devices:
                device.close()
        for watch in self.eye, self.ear:
            await watch.disconnect()
        return self.score

    async def enter(self):
        """Lets everybody come; whether all did."""
        self.eye = await Friend(self.juliet + "/eye", self.port).enter()
        await befriend(self.eye, self.romeo)
        self.ear = await Friend(self.romeo + "/ear", self.port).enter()
        for watch in self.eye, self.ear:
            await watch["xep_0280"].enable()
        his, hers = self.kinds
        self.his = [await self.bring(kind, self.romeo, "romeo%d" % n) for n, kind in enumerate(his, 1)]
        self.hers = [await self.bring(kind, self.juliet, "juliet%d" % n) for n, kind in enumerate(hers, 1)]
        self.a, self.b = self.his[0], self.hers[0]
        return not self.score.failed

    async def bring(self, kind, jid, name):
        """Starts a device and says whether it came online."""
        device = kind(jid, "%s-%s" % (kind.client, name), self.port, self.shots)
        self.devices.append(device)
        self.score.say(device.resource + " logs in", await device.begin(self.eye if jid == self.romeo else self.ear))
        return device

    async def part(self, name, play):
        """Plays a part, which gives "" or what is wrong, and takes a picture of everybody."""
        self.note = ""
        why = await play()
        for device in self.devices:
            device.screen.picture(name)
        self.score.say(name, not why, why or self.note)

    async def have(self, devices, *texts, times=1, seconds=30):
        """Waits until each device keeps each text so many times; "" or who does not."""
        for device in devices:
            for text in texts:
                if not await until(lambda: device.count(text) == times, seconds):
                    return "%s has “%s” %d times and not %d" % (device.resource, text, device.count(text), times)
        return ""

    async def message(self):
        await self.a.say(self.juliet, "But soft")
        why = await self.have([self.b], "But soft")
        if why:
            return why
        await self.b.say(self.romeo, "Ay me")
        return await self.have([self.a], "Ay me")

    async def carbon(self):
        """What the first devices have sent and received has come to the others."""
        return await self.have(self.his[1:] + self.hers[1:], "But soft", "Ay me")

    async def correction(self):
        await self.a.say(self.juliet, "The east is Juliet")
        why = await self.have([self.a, self.b], "The east is Juliet")
        if why:
            return why
        await self.a.correct(self.juliet, "Juliet is the sun")
        others = self.his[1:] + self.hers
        why = await self.have(others, "Juliet is the sun")
        if why:
            return why
        # The next message has everybody write down what came before.
        await self.b.say(self.romeo, "O Romeo")
        everybody = self.his + self.hers
        return (await self.have(everybody, "O Romeo", "Juliet is the sun") or
                await self.have([d for d in everybody if d.replaces], "The east is Juliet", times=0))

    async def history(self):
        """A device that is new to the account learns what was said before it came."""
        device = await self.bring(self.fresh, self.romeo, "romeo-new")
        why = await self.have([device], "But soft", "Ay me", "Juliet is the sun", "O Romeo", seconds=60)
        if not why and device.replaces:
            why = await self.have([device], "The east is Juliet", times=0)
        await device.open(self.juliet)
        device.screen.picture("history")
        if why:
            print(device.screen.log())
        self.leave(device)
        if not self.a.archives:
            self.note = "%s does not read archives, so %s did" % (self.a.client, device.client)
        return why

    async def reaches(self, yes, seconds=30):
        """Waits until what Juliet says reaches Romeo, or comes back as an error."""
        number = 0
        while number < seconds * 2:
            number += 1
            text = "Are you there? (%d, %s)" % (number, yes)
            stanza = self.eye.says(self.romeo, text)
            if not await until(lambda: text in self.ear.heard or stanza in self.eye.errors, 10):
                return False
            if (text in self.ear.heard) == yes:
                return yes or self.eye.errors[stanza] == "service-unavailable"
            await until(lambda: False, 0.5)
        return False

    async def block(self):
        await self.a.block(self.juliet)
        if not await self.reaches(False):
            return "what Juliet says is not refused"
        await self.b.say(self.romeo, "Wherefore art thou")
        if not await until(lambda: self.b.refused("Wherefore art thou") is not False):
            return "%s does not note that its message was refused" % self.b.resource
        await self.a.unblock(self.juliet)
        if not await self.reaches(True):
            return "what Juliet says is refused after she was unblocked"
        await self.b.say(self.romeo, "Deny thy father")
        return (await self.have(self.his, "Deny thy father") or
                await self.have(self.his, "Wherefore art thou", times=0))

    async def reconnect(self):
        """What happens while a device is cut off reaches it once."""
        if not self.a.resumes:  # then what it missed is for others, if there are any
            self.leave(self.his.pop())
            await self.ear.disconnect()
        before = len(self.log())
        self.a.wire.cut()
        self.eye.says(self.romeo, "Good night")
        if not await until(lambda: "waits to be resumed jid=%s/%s" % (self.romeo, self.a.resource) in self.log()[before:]):
            return "the server has not noticed"
        await self.b.say(self.romeo, "Parting is such sweet sorrow")
        missed = ["Good night", "Parting is such sweet sorrow"]
        why = await self.have(self.hers[:1], missed[1])
        for other in self.his[1:]:
            await other.say(self.juliet, "Sleep dwell upon thine eyes")
            missed.append("Sleep dwell upon thine eyes")
            why = why or await self.have(self.hers[:1], missed[2])
        self.a.wire.mend()
        entries = [entry % (self.romeo, self.a.resource) for entry in ("session resumed jid=%s/%s ", "session opened jid=%s/%s ")]
        if not await until(lambda: any(entry in self.log()[before:] for entry in entries), 90):
            return "it does not come back"
        resumed = entries[0] in self.log()[before:]
        self.note = "its session was resumed" if resumed else "with a new session"
        if resumed != self.a.resumes:
            return self.note
        why = why or await self.have([self.a], *missed)
        if why:
            return why
        await self.a.say(self.juliet, "Hence will I")
        await self.b.say(self.romeo, "A thousand times good night")
        return (await self.have([self.b], "Hence will I") or
                await self.have([self.a], "A thousand times good night", *missed))

    def leave(self, device):
        """Ends a device and its session, which would wait for it."""
        device.close()
        self.devices.remove(device)
        user, host = device.jid.split("@")
        subprocess.run(os.environ["CONTROL"].split() + ["kick_session", user, host, device.resource, "gone"], stdout=subprocess.DEVNULL)

    @staticmethod
    def log():
        with open(os.environ["SERVER_LOG"], errors="replace") as f:
            return f.read()
