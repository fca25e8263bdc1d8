"""slixmpp reads its archive, sees its other device's words as carbons, and misses nothing by a cut.

usage: history.py LIAO_BINARY. Starts its own server on free ports of loopback in a temporary folder.
"""
import asyncio, json, os, pathlib, ssl, subprocess, sys, tempfile
import slixmpp

LIAO = sys.argv[1]
folder = tempfile.TemporaryDirectory(prefix="liao-history-")
data = pathlib.Path(folder.name) / "data"


class Device(slixmpp.ClientXMPP):
    def __init__(self, name, resource, port):
        super().__init__(f"{name}@localhost/{resource}", "pw-" + name)
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        self.port, self.news = port, asyncio.Queue()
        for plugin in ("xep_0030", "xep_0059", "xep_0199", "xep_0280", "xep_0313", "xep_0359", "xep_0441"):
            self.register_plugin(plugin)
        for event in ("session_start", "message", "carbon_received", "carbon_sent", "failed_all_auth"):
            self.add_event_handler(event, lambda what, event=event: self.news.put_nowait((event, what)))

    async def go(self):
        self.connect("127.0.0.1", self.port)
        await self.until("session_start")
        await self.plugin["xep_0280"].enable()
        self.send_presence()

    async def until(self, wanted):
        async with asyncio.timeout(20):
            while True:
                event, what = await self.news.get()
                assert event != "failed_all_auth", what
                if event == wanted:
                    return what

    async def archive(self, **query):
        """(id, body) of all pages."""
        found = []
        async for page in self.plugin["xep_0313"].retrieve(iterator=True, rsm={"max": 7}, **query):
            for message in page["mam"]["results"]:
                result = message["mam_result"]
                assert result["forwarded"]["delay"]["stamp"]
                found.append((result["id"], result["forwarded"]["stanza"]["body"]))
        return found


def own_id(message):
    """The archive's id in a message as it came."""
    return message["stanza_id"]["id"]


async def main(addresses):
    port = int(addresses["c2s"].rsplit(":", 1)[1])
    alice, desk, phone = (Device(n, r, port) for n, r in (("alice", "a"), ("bob", "desk"), ("bob", "phone")))
    for device in (alice, desk, phone):
        await device.go()
    alice.send_message("bob@localhost/desk", "to the desk", mtype="chat")
    direct = await desk.until("message")
    copy = (await phone.until("carbon_received"))["carbon_received"]
    assert copy["body"] == "to the desk" and own_id(copy) == own_id(direct), copy
    desk.send_message("alice@localhost", "from the desk", mtype="chat")
    sent = (await phone.until("carbon_sent"))["carbon_sent"]
    assert sent["body"] == "from the desk", sent
    print("  ok: carbons, with the same ids as the archive's", flush=True)

    for n in range(30):
        alice.send_message("bob@localhost", f"line {n}", mtype="chat")
    live = []
    while len(live) < 30:
        message = await phone.until("message")
        live.append((own_id(message), message["body"]))
    expected = [(own_id(direct), "to the desk"), (own_id(sent), "from the desk"), *live]
    everything = await phone.archive()
    assert everything == expected, (everything, expected)
    after = await phone.archive(with_jid="alice@localhost")
    assert after == expected
    theirs = await alice.archive()
    assert [b for _, b in theirs] == [b for _, b in expected] and not {i for i, _ in theirs} & {i for i, _ in expected}
    print("  ok: both sides page through the conversation; ids are each side's own", flush=True)

    prefs = await phone.plugin["xep_0441"].set_preferences(default="roster", never=["spam@localhost"])
    assert prefs["mam_prefs"]["default"] == "roster"
    await phone.plugin["xep_0441"].set_preferences(default="always")
    for device in (alice, desk, phone):
        await device.disconnect()


listen = {f"LIAO_LISTEN_{n}": "127.0.0.1:0" for n in ("C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS")}
for name in ("alice", "bob"):
    subprocess.run([LIAO, "admin", "--data", str(data), "user", "add", name, "--password-stdin"],
                   input="pw-" + name, text=True, check=True, stdout=subprocess.DEVNULL)
server = subprocess.Popen([LIAO, "serve", "--data", str(data)], env={**os.environ, **listen},
                          stdout=subprocess.PIPE, text=True)
try:
    for line in server.stdout:
        if "certificate" in line:
            break
    addresses = json.loads((data / "addresses.json").read_text())
    asyncio.run(main(addresses))
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import nbxmpp"], capture_output=True).returncode == 0:
        nbxmpp = pathlib.Path(__file__).with_name("history_nbxmpp.py")
        subprocess.run([python, str(nbxmpp), addresses["c2s_tls"]], check=True, timeout=90)
    elif os.environ.get("CI"):
        raise SystemExit("nbxmpp is missing: apt-get install python3-nbxmpp")
    else:
        print("SKIPPED: nbxmpp: apt-get install python3-nbxmpp", flush=True)
finally:
    server.terminate()
    server.wait()
