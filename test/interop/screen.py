"""A screen, a home and a session bus for one client with a graphical face."""

import asyncio
import os
import subprocess
import tempfile


class Screen:
    """Where one client lives: nothing it does is seen by another one."""

    def __init__(self, shots, name):
        self.shots, self.name = shots, name
        self.home = tempfile.mkdtemp(prefix="gabberd-client-")
        self.programs = []
        read, write = os.pipe()
        self.programs.append(subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1100x800x24", "-nolisten", "tcp", "-nolock"],
            pass_fds=[write], stderr=subprocess.DEVNULL, start_new_session=True))
        os.close(write)
        with os.fdopen(read) as chosen:
            display = ":" + chosen.readline().strip()
        self.env = dict(
            os.environ, DISPLAY=display, HOME=self.home, LANG="C.UTF-8", XDG_RUNTIME_DIR=self.home,
            XDG_CONFIG_HOME=self.home + "/.config", XDG_DATA_HOME=self.home + "/.local/share",
            XDG_CACHE_HOME=self.home + "/.cache", XDG_STATE_HOME=self.home + "/.local/state", NO_AT_BRIDGE="1",
            DBUS_SESSION_BUS_ADDRESS="unix:path=%s/bus" % self.home, GSK_RENDERER="cairo")
        self.start("openbox")
        self.start("dbus-daemon", "--session", "--nofork", "--address=" + self.env["DBUS_SESSION_BUS_ADDRESS"])

    def start(self, *command, mounts=()):
        """Starts a program, not as root: some clients refuse that. It sees the files
        of mounts, pairs, each in the place of another one."""
        binds = "".join("mount --bind %s %s && " % pair for pair in mounts)
        if os.getuid() == 0:
            if "MAPPED_USER" in os.environ:  # root in a namespace only, where nobody else exists
                command = ("unshare", "--map-user=1000", "--map-group=1000", "--") + command
            else:
                subprocess.run(["chown", "-R", "nobody:nogroup", self.home], check=True)
                command = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--") + command
        if binds:
            command = ("unshare", "--mount", "sh", "-c", binds + 'exec "$@"', "sh") + command
        with open("%s/%d.log" % (self.home, len(self.programs)), "ab") as log:
            program = subprocess.Popen(command, env=self.env, cwd=self.home, stdout=log, stderr=log, start_new_session=True)
        self.programs.append(program)
        return program

    async def call(self, *command):
        """Runs a program to its end; whether it worked."""
        program = self.start(*command)
        worked = await until(lambda: program.poll() is not None, 20)
        self.programs.remove(program)
        if not worked:
            os.killpg(program.pid, 9)
        return program.wait() == 0

    async def action(self, name, path, action, *arguments):
        """Carries out an action that an application of GTK offers on its bus; whether it exists."""
        return await self.call("gdbus", "call", "--session", "--timeout", "10", "--dest", name, "--object-path", path,
                               "--method", "org.gtk.Actions.Activate", action, "[%s]" % ", ".join("<%s>" % a for a in arguments), "{}")

    def do(self, *words):
        """xdotool; returns what it prints."""
        return subprocess.run(("timeout", "20", "xdotool") + words, env=self.env, capture_output=True, text=True).stdout.strip()

    async def window(self, name, seconds=20):
        """Waits for a visible window with that in its title; its number, or nothing."""
        found = []

        def look():
            found[:] = self.do("search", "--onlyvisible", "--name", name).split()
            return found
        return found[-1] if await until(look, seconds) else ""

    async def front(self, window):
        """Gives a window the keyboard."""
        self.do("windowactivate", "--sync", window)
        await until(lambda: self.do("getactivewindow") == window, 5)

    async def type(self, window, text):
        """Types a line into a window."""
        await self.front(window)
        self.do("type", "--delay", "25", text)
        self.do("key", "Return")

    async def calm(self, seconds=10):
        """Waits until what is seen has not changed for half a second: menus open in steps."""
        def pixels():
            return subprocess.run(["import", "-window", "root", "rgb:-"], env=self.env, capture_output=True).stdout
        end = asyncio.get_running_loop().time() + seconds
        last, now = b"", pixels()
        while last != now and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.5)
            last, now = now, pixels()

    def picture(self, what):
        subprocess.run(["import", "-window", "root", "%s/%s-%s.png" % (self.shots, self.name, what)], env=self.env)

    def log(self):
        """The end of what the programs have said."""
        out = ""
        for name in sorted(os.listdir(self.home)):
            if name.endswith(".log"):
                with open(self.home + "/" + name, errors="replace") as f:
                    out += "-- %s %s\n%s\n" % (self.name, name, f.read()[-3000:])
        return out

    def close(self):
        for program in reversed(self.programs):
            try:
                os.killpg(program.pid, 15)
                program.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                program.kill()
                program.wait()
        subprocess.run(["rm", "-rf", self.home])


async def until(condition, seconds=20):
    """Waits for something to become true; whether it did."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.2)
    return True
