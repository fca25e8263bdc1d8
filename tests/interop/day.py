"""Two slixmpp clients spend a day on a real server: STARTTLS, SCRAM, friendship, presence, chat, offline messages.

usage: day.py LIAO_BINARY. Starts its own server on free ports of loopback in a temporary folder.
"""
import asyncio, fcntl, json, os, pathlib, pty, signal, socket, ssl, subprocess, sys, tempfile, termios
import slixmpp

LIAO = sys.argv[1]
folder = tempfile.TemporaryDirectory(prefix="liao-interop-")
data = pathlib.Path(folder.name) / "data"


def start():
    listen = {f"LIAO_LISTEN_{n}": "127.0.0.1:0" for n in ("C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS", "COMPONENTS")}
    listen["LIAO_COMPONENTS"] = json.dumps([{"name": "bot.localhost", "secret": "echo me"}])
    process = subprocess.Popen([LIAO, "serve", "--data", str(data)], env={**os.environ, **listen},
                               stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "certificate" in line:
            break
    else:
        raise SystemExit("the server did not start")
    return process, json.loads((data / "addresses.json").read_text())


def add(name, admin=False):
    subprocess.run([LIAO, "admin", "--data", str(data), "user", "add", name, "--password-stdin"]
                   + (["--admin"] if admin else []), input="pw-" + name, text=True, check=True,
                   stdout=subprocess.DEVNULL)


class Person(slixmpp.ClientXMPP):
    def __init__(self, name, port):
        super().__init__(f"{name}@localhost", "pw-" + name)
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        self.port = port
        self.news = asyncio.Queue()
        self.auto_authorize = None
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0203")
        for event in ("session_start", "message", "got_online", "got_offline", "presence_subscribe",
                      "presence_subscribed", "message_error", "failed_all_auth", "stream_error"):
            self.add_event_handler(event, lambda what, event=event: self.news.put_nowait((event, what)))

    async def go(self):
        self.connect("127.0.0.1", self.port)
        await self.until("session_start")
        await self.get_roster()
        self.send_presence()

    async def until(self, wanted, check=lambda what: True):
        async with asyncio.timeout(10):
            while True:
                event, what = await self.news.get()
                if event in ("failed_all_auth", "stream_error"):
                    raise AssertionError(f"{event}: {what}")
                if event == wanted and check(what):
                    return what


def says(text):
    return lambda m: m["body"] == text


steps = 0


def step(words):
    global steps
    steps += 1
    print("  ok:", words, flush=True)


async def talk(addresses):
    port = int(addresses["c2s"].rsplit(":", 1)[1])
    alice, bob = Person("alice", port), Person("bob", port)
    await alice.go()
    await bob.go()
    step("two clients logged in over STARTTLS")
    alice.send_presence(pto="bob@localhost", ptype="subscribe")
    await bob.until("presence_subscribe")
    bob.send_presence(pto="alice@localhost", ptype="subscribed")
    bob.send_presence(pto="alice@localhost", ptype="subscribe")
    await alice.until("presence_subscribe")
    alice.send_presence(pto="bob@localhost", ptype="subscribed")
    await bob.until("got_online", lambda p: p["from"].bare == "alice@localhost")
    step("they are friends and see each other")
    for text in ("hello", "你好 😀", "x" * 256 * 1024):
        alice.send_message("bob@localhost", text)
        await bob.until("message", says(text))
    for n in range(500):
        bob.send_message("alice@localhost", f"line {n}")
    for n in range(500):
        await alice.until("message", lambda m: True if m["body"] == f"line {n}" else (_ for _ in ()).throw(
            AssertionError(f"wanted line {n}, got {m['body']}")))
    step("short, Chinese, 256 KiB and 500 messages, in order")
    await bob.disconnect()
    await alice.until("got_offline")
    for n in range(200):
        alice.send_message("bob@localhost", f"while away {n}")
    await alice.plugin["xep_0199"].ping("localhost")
    bob = Person("bob", port)
    await bob.go()
    for n in range(200):
        kept = await bob.until("message")
        assert kept["body"] == f"while away {n}", (n, kept["body"])
        assert kept["delay"]["stamp"] is not None
    step("200 messages kept while away, in order, once")
    try:
        await alice.plugin["xep_0030"].get_info(jid="nobody@localhost")
        raise AssertionError("nobody answered")
    except slixmpp.exceptions.IqError as error:
        assert error.condition == "service-unavailable", error.condition
    info = await alice.plugin["xep_0030"].get_info(jid="localhost")
    assert "urn:xmpp:ping" in info["disco_info"]["features"]
    alice.send_message("nobody@localhost", "anyone?")
    refused = await alice.until("message_error")
    assert refused["error"]["condition"] == "service-unavailable"
    step("disco and errors")

    host, sockets = addresses["sockets"].rsplit(":", 1)
    for kind in ("tcp", "udp"):
        caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        caller.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(caller, (host, int(sockets)))
        await loop.sock_sendall(caller, "喂".encode())
        heard = await alice.until("message", says("喂"))
        assert heard["from"].bare.startswith(kind + "-"), heard["from"]
        alice.send_message(heard["from"].bare, "汉" * 500)
        first = await asyncio.wait_for(loop.sock_recv(caller, 1024), 10)
        assert len(first) <= 1024 and set(first.decode()) == {"汉"}
        await loop.sock_sendall(caller, b"more")
        second = await asyncio.wait_for(loop.sock_recv(caller, 1024), 10)
        assert first.decode() + second.decode() == "汉" * 500
        caller.close()
    step("the tutorial's kind of TCP and UDP clients chat through the gateway, in turn")
    await together(alice, addresses)
    await answers_at_a_terminal(addresses)
    await joins(alice, port)
    await resumes(alice, port)
    await sends_files(port)
    await meets_a_component(alice, addresses)
    await alice.disconnect()
    await bob.disconnect()


class Program:
    """A program with its lines."""

    @classmethod
    async def start(cls, *command, **env):
        self = cls()
        self.process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env={**os.environ, **env})
        return self

    def say(self, line):
        self.process.stdin.write(f"{line}\n".encode())

    async def hears(self, words):
        async with asyncio.timeout(10):
            while line := await self.process.stdout.readline():
                if words in line.decode():
                    return line.decode()
        raise AssertionError(f"the program ended without {words!r}")


async def together(alice, addresses):
    """The tutorial's kind of client, slixmpp and the plain client in one talk, over TCP and over UDP."""
    chat = await Program.start(LIAO, "chat", "alice@localhost", "--plain", "--server", addresses["c2s"],
                               "--client-data", f"{folder.name}/client", LIAO_PASSWORD="pw-alice")
    await chat.hears("online")
    host, port = addresses["sockets"].rsplit(":", 1)
    tutorial = pathlib.Path(__file__).parent.parent / "tutorial"
    for kind in ("tcp", "udp"):
        caller = await Program.start(sys.executable, tutorial / f"{kind}_client.py", host, port)
        caller.say(f"大家好 by {kind} 😀")
        heard = await alice.until("message", says(f"大家好 by {kind} 😀"))
        await chat.hears(f"大家好 by {kind} 😀")
        alice.send_message(heard["from"].bare, f"slixmpp to {kind}")
        await caller.hears(f"heard: slixmpp to {kind}")
        caller.say("and the other?")
        await chat.hears("and the other?")
        chat.say(f"@{heard['from'].bare} liao chat to {kind}")
        await caller.hears(f"heard: liao chat to {kind}")
        caller.say("q")
        await caller.process.wait()
    chat.say("q")
    assert await chat.process.wait() == 0
    step("the tutorial's kind of client with slixmpp and `liao chat --plain` at once, by TCP and by UDP")


async def answers_at_a_terminal(addresses):
    """At a terminal the first who speaks is answered without further ado."""
    master, slave = pty.openpty()
    env = {**os.environ, "LIAO_PASSWORD": "pw-alice"}
    chat = await asyncio.create_subprocess_exec(
        LIAO, "chat", "alice@localhost", "--plain", "--server", addresses["c2s"], "--client-data",
        f"{folder.name}/terminal", stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
    os.close(slave)
    os.set_blocking(master, False)
    seen = ""

    async def shows(words):
        nonlocal seen
        async with asyncio.timeout(10):
            while words not in seen:
                try:
                    seen += os.read(master, 4096).decode(errors="replace")
                except BlockingIOError:
                    readable = asyncio.Event()
                    asyncio.get_running_loop().add_reader(master, readable.set)
                    await readable.wait()
                    asyncio.get_running_loop().remove_reader(master)

    await shows("/help")
    # What earlier callers said is shown, and chooses nobody.
    await shows("and the other?")
    assert "you talk to" not in seen, seen
    host, port = addresses["sockets"].rsplit(":", 1)
    tutorial = pathlib.Path(__file__).parent.parent / "tutorial"
    caller = await Program.start(sys.executable, tutorial / "tcp_client.py", host, port)
    caller.say("is anybody there?")
    await shows("you talk to tcp-")
    os.write(master, "就在这里\n".encode())
    await caller.hears("heard: 就在这里")
    caller.say("q")
    await caller.process.wait()
    os.write(master, b"q\n")
    assert await chat.wait() == 0
    os.close(master)
    step("at a terminal a typed line goes to the first who spoke")


class Newcomer(Person):
    """Registers with an invite's token before it logs in (XEP-0077, XEP-0445)."""

    def __init__(self, name, port, token):
        super().__init__(name, port)
        self.token = token
        self.register_plugin("xep_0077", {"order": 50})
        self.plugin["xep_0077"].force_registration = True
        self.add_event_handler("register", self.registers)
        form = self.plugin["xep_0077"].get_registration

        def token_then_form(*args, **kwargs):
            # Before login slixmpp lets only forms of its own out; the token goes before them.
            self.send_raw(f"<iq type='set' id='token'><preauth xmlns='urn:xmpp:pars:0' token='{self.token}'/></iq>")
            return form(*args, **kwargs)

        self.plugin["xep_0077"].get_registration = token_then_form

    async def registers(self, form):
        register = self.Iq()
        register["type"] = "set"
        register["register"]["username"] = self.boundjid.user
        register["register"]["password"] = self.password
        await register.send()


async def joins(alice, port):
    out = subprocess.run([LIAO, "admin", "--data", str(data), "--json", "invite", "--from", "alice@localhost"],
                         capture_output=True, text=True, check=True).stdout
    token = out.split("preauth=")[1].split('"')[0]
    dora = Newcomer("dora", port, token)
    await dora.go()
    await alice.until("got_online", lambda p: p["from"].bare == "dora@localhost")
    dora.send_message("alice@localhost", "thank you for the invite")
    await alice.until("message", says("thank you for the invite"))
    await dora.disconnect()
    step("slixmpp registers with an invite's token and is the inviter's friend at once")


async def resumes(alice, port):
    """The network goes away under a client with stream management: it resumes, and nothing is missing or doubled."""
    class Resuming(Person):
        def __init__(self, *args):
            super().__init__(*args)
            self.register_plugin("xep_0198")
            for event in ("sm_enabled", "session_resumed"):
                self.add_event_handler(event, lambda what, event=event: self.news.put_nowait((event, what)))

    bob = Resuming("bob", port)
    await bob.go()
    await bob.until("sm_enabled")
    await bob.plugin["xep_0199"].ping("localhost")
    before = bob.boundjid.full
    bob.transport.abort()
    for n in range(50):
        alice.send_message("bob@localhost", f"while cut {n}")
    bob.connect("127.0.0.1", port)
    await bob.until("session_resumed")
    assert bob.boundjid.full == before
    for n in range(50):
        message = await bob.until("message")
        assert message["body"] == f"while cut {n}", (n, message["body"])
    bob.send_message("alice@localhost", "resumed")
    await alice.until("message", says("resumed"))
    await bob.disconnect()
    step("slixmpp resumes after a cut: 50 messages, each once, in order")


async def meets_a_component(alice, addresses):
    """slixmpp as a component: a bot that says everything again (XEP-0114)."""
    class Echo(slixmpp.ComponentXMPP):
        def __init__(self):
            host, port = addresses["components"].rsplit(":", 1)
            super().__init__("bot.localhost", "echo me", host, int(port))
            self.register_plugin("xep_0030")
            self.ready = asyncio.Event()
            self.add_event_handler("session_start", lambda _: self.ready.set())
            self.add_event_handler("message", self.again)

        def again(self, message):
            if message["type"] in ("chat", "normal"):
                message.reply(message["body"] + "!").send()

    echo = Echo()
    alice.send_message("echo@bot.localhost", "is anybody there?")
    refused = await alice.until("message_error")
    assert refused["error"]["condition"] == "remote-server-timeout", refused
    echo.connect()
    await asyncio.wait_for(echo.ready.wait(), 10)
    for n in range(100):
        alice.send_message("echo@bot.localhost", f"你好 {n}")
    for n in range(100):
        heard = await alice.until("message")
        assert (heard["body"], heard["from"].bare) == (f"你好 {n}!", "echo@bot.localhost"), heard
    info = await alice.plugin["xep_0030"].get_info(jid="bot.localhost")
    assert info["disco_info"]["identities"]
    await echo.disconnect()
    step("slixmpp as a component: an echo bot, 100 messages and disco")


async def sends_files(port):
    """A file goes up and comes down with the foreign client's own HTTP, over TLS that it checks (XEP-0363)."""
    # Read when the plugin loads its HTTP client.
    os.environ["SSL_CERT_FILE"] = str(data / "tls" / "cert.pem")
    bob = Person("bob", port)
    bob.register_plugin("xep_0363")
    await bob.go()
    import aiohttp
    upload = bob.plugin["xep_0363"]
    for purpose, name, body in ((None, "très cool 猫.txt", os.urandom(5_000_000)), ("profile", "me.png", b"picture")):
        file = pathlib.Path(folder.name) / name
        file.write_bytes(body)
        kind = "image/png" if purpose else "text/plain"
        url = await upload.upload_file(file, content_type=kind, domain="localhost", purpose=purpose)
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as answer:
                assert answer.status == 200 and await answer.read() == body
            async with session.get(url, headers={"Range": "bytes=2-4"}) as answer:
                assert answer.status == 206 and await answer.read() == body[2:5]
    await bob.disconnect()
    step("slixmpp finds the upload service, sends files and fetches them")


async def again(addresses):
    port = int(addresses["c2s"].rsplit(":", 1)[1])
    bob = Person("bob", port)
    await bob.go()
    carol = Person("carol", port)
    await carol.go()
    carol.send_message("bob@localhost", "after the kill")
    await bob.until("message", says("after the kill"))
    for person in (bob, carol):
        await person.disconnect()


def its_terminal_is_closed():
    """Who closes the window of `liao serve` ends it; a SIGHUP with the window open only reloads."""
    master, slave = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    listen = {f"LIAO_LISTEN_{n}": "127.0.0.1:0" for n in ("C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS")}
    server = subprocess.Popen([LIAO, "serve", "--data", f"{folder.name}/window"], env={**os.environ, **listen},
                              stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal)
    os.close(slave)
    seen = b""
    while b"--lan" not in seen:
        seen += os.read(master, 4096)
    server.send_signal(signal.SIGHUP)
    while b"was reloaded" not in seen:
        seen += os.read(master, 4096)
    os.close(master)
    assert server.wait(10) == 0
    step("a server whose terminal is closed ends")


process, addresses = start()
try:
    its_terminal_is_closed()
    add("alice", admin=True)
    add("bob")
    asyncio.run(talk(addresses))
    process.send_signal(signal.SIGKILL)
    process.wait()
    add("carol")
    process, addresses = start()
    asyncio.run(again(addresses))
    step("kill -9, an account made while no server ran, and on it goes")
    process.terminate()
    assert process.wait(10) == 0, "a graceful end"
    step("a graceful end")
    print(f"{steps} steps passed")
finally:
    process.kill()
    folder.cleanup()
