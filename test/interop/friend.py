"""What the drivers of real clients share: somebody for the client to talk to, a
screen for it to live on, and a list of what worked."""

import asyncio
import os
import subprocess
import sys
import tempfile

import slixmpp

PASSWORD = "secret"


class Friend(slixmpp.ClientXMPP):
    """The other end of the conversation. It accepts everybody as a contact."""

    def __init__(self, jid, port):
        super().__init__(jid, PASSWORD)
        self.port = port
        self.ca_certs = os.environ["CERTIFICATE"]
        for plugin in "xep_0030", "xep_0092", "xep_0199":
            self.register_plugin(plugin)
        self.auto_authorize = self.auto_subscribe = True
        self.ready = asyncio.Event()
        self.texts = asyncio.Queue()
        self.arrivals = asyncio.Queue()
        self.add_event_handler("session_start", self._started)
        self.add_event_handler("message", lambda m: self.texts.put_nowait(m["body"]))
        for event in "presence_available", "presence_away", "presence_chat":
            self.add_event_handler(event, self.arrivals.put_nowait)

    async def _started(self, _):
        await self.get_roster()
        self.send_presence()
        self.ready.set()

    async def enter(self):
        self.connect(("127.0.0.1", self.port))
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


class Screen:
    """A screen of its own for a graphical client, and a home for its files."""

    def __init__(self, shots, name):
        self.shots, self.name = shots, name
        self.home = tempfile.mkdtemp(prefix="gabberd-client-")
        self.programs = []
        read, write = os.pipe()
        self.programs.append(subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
            pass_fds=[write], stderr=subprocess.DEVNULL))
        os.close(write)
        with os.fdopen(read) as chosen:
            display = ":" + chosen.readline().strip()
        self.env = dict(
            os.environ, DISPLAY=display, HOME=self.home, LANG="C.UTF-8", XDG_RUNTIME_DIR=self.home,
            XDG_CONFIG_HOME=self.home + "/.config", XDG_DATA_HOME=self.home + "/.local/share",
            XDG_CACHE_HOME=self.home + "/.cache", XDG_STATE_HOME=self.home + "/.local/state", NO_AT_BRIDGE="1")
        self.start("openbox")

    def start(self, *command):
        """Starts a program; as root, as nobody: some clients refuse root."""
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "nobody:nogroup", self.home], check=True)
            command = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--") + command
        with open(self.home + "/" + str(len(self.programs)) + ".log", "ab") as log:
            program = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        self.programs.append(program)
        return program

    def do(self, *words):
        """xdotool; returns what it prints."""
        return subprocess.run(("xdotool",) + words, env=self.env, capture_output=True, text=True).stdout.strip()

    async def window(self, name, seconds=20):
        """Waits for a visible window with that in its title; its number, or nothing."""
        for _ in range(seconds * 5):
            found = self.do("search", "--onlyvisible", "--name", name).split()
            if found:
                return found[-1]
            await asyncio.sleep(0.2)
        return ""

    async def type(self, window, text):
        """Types a line into a window."""
        self.do("windowactivate", "--sync", window)
        await asyncio.sleep(0.5)
        self.do("type", "--delay", "25", text)
        self.do("key", "Return")

    def picture(self, what):
        subprocess.run(["import", "-window", "root", "%s/%s-%s.png" % (self.shots, self.name, what)], env=self.env)

    def log(self):
        """The end of what the programs have said."""
        out = ""
        for name in os.listdir(self.home):
            if name.endswith(".log"):
                with open(self.home + "/" + name, errors="replace") as f:
                    out += "-- %s\n%s\n" % (name, f.read()[-3000:])
        return out

    def close(self):
        for program in reversed(self.programs):
            try:
                if program is self.programs[0]:
                    program.terminate()
                else:
                    os.killpg(program.pid, 15)
                program.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                program.kill()
        subprocess.run(["rm", "-rf", self.home])


class Score:
    """What worked and what did not."""

    def __init__(self):
        self.failed = 0

    def say(self, what, worked, more=""):
        print("%s %s %s" % ("ok  " if worked else "FAIL", what, more if more else ""), flush=True)
        self.failed += not worked


def perform(driver):
    """Runs driver(port, own JID, friend's JID, folder for pictures) and exits with what it scored."""
    port, own, friend, shots = sys.argv[1:5]
    score = asyncio.get_event_loop().run_until_complete(asyncio.wait_for(driver(int(port), own, friend, shots), 160))
    sys.exit(1 if score.failed else 0)
