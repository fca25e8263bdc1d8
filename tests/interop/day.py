"""Two slixmpp clients spend a day on a real server: STARTTLS, SCRAM, friendship, presence, chat, offline messages.

usage: day.py LIAO_BINARY. Starts its own server on free ports of loopback in a temporary folder.
"""
import asyncio, json, os, pathlib, signal, socket, ssl, subprocess, sys, tempfile
import slixmpp

LIAO = sys.argv[1]
folder = tempfile.TemporaryDirectory(prefix="liao-interop-")
data = pathlib.Path(folder.name) / "data"


def start():
    listen = {f"LIAO_LISTEN_{n}": "127.0.0.1:0" for n in ("C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS")}
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


def step(words):
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
    await alice.disconnect()
    await bob.disconnect()


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


process, addresses = start()
try:
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
    print("9 passed, 0 failed")
finally:
    process.kill()
    folder.cleanup()
