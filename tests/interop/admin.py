"""A slixmpp client administers a real server (XEP-0050, XEP-0133) and uses what every account has: blocking
with a report, vCard, last activity, the server's time.

usage: admin.py LIAO_BINARY. Starts its own server on free ports of loopback in a temporary folder.
"""
import asyncio, json, os, pathlib, ssl, subprocess, sys, tempfile
import slixmpp
from slixmpp.exceptions import IqError

LIAO = sys.argv[1]
folder = tempfile.TemporaryDirectory(prefix="liao-interop-")
data = pathlib.Path(folder.name) / "data"


def start():
    listen = {f"LIAO_LISTEN_{n}": "127.0.0.1:0" for n in ("C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS", "COMPONENTS")}
    process = subprocess.Popen([LIAO, "serve", "--data", str(data)], env={**os.environ, **listen},
                               stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "certificate" in line:
            return process, json.loads((data / "addresses.json").read_text())
    raise SystemExit("the server did not start")


def admin(*args, password=None):
    done = subprocess.run([LIAO, "admin", "--data", str(data), *args], input=password, text=True, check=True,
                          stdout=subprocess.PIPE)
    return done.stdout


class Person(slixmpp.ClientXMPP):
    def __init__(self, name, port):
        super().__init__(f"{name}@localhost", "pw-" + name)
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        self.port = port
        self.news = asyncio.Queue()
        for plugin in ("xep_0012", "xep_0030", "xep_0049", "xep_0050", "xep_0054", "xep_0133", "xep_0191",
                       "xep_0199", "xep_0202", "xep_0377"):
            self.register_plugin(plugin)
        for event in ("session_start", "message", "message_error", "failed_all_auth", "stream_error"):
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
                if event == wanted and check(what):
                    return what

    async def command(self, name, values=None):
        """Executes a command of XEP-0133 by the plugin's own sessions: the last answer."""
        end = asyncio.get_running_loop().create_future()

        def form(iq, session):
            if values is None:
                return end.set_result(iq)
            answer = iq["command"]["form"]
            answer["type"] = "submit"
            for var, value in values.items():
                answer.get_fields()[var]["value"] = value
            session["payload"] = [answer]
            session["next"] = lambda iq, session: end.set_result(iq)
            self.plugin["xep_0050"].complete_command(session)

        session = {"next": form, "error": lambda iq, session: end.set_exception(IqError(iq))}
        getattr(self.plugin["xep_0133"], name)(jid="localhost", session=session)
        async with asyncio.timeout(10):
            return await end


def step(words):
    print("  ok:", words, flush=True)


async def administers(anna, port):
    items = await self_list(anna)
    assert len(items) == 31, items
    step("31 commands are listed for the administrator")
    await anna.command("add_user", {"accountjid": "bob@localhost", "password": "pw-bob", "password-verify": "pw-bob"})
    bob = Person("bob", port)
    await bob.go()
    step("an account was made by command and logs in")
    assert len(await self_list(bob)) == 1
    try:
        await bob.command("delete_user")
        raise AssertionError("bob may delete")
    except IqError as error:
        assert error.condition == "forbidden", error
    step("who is no administrator sees and does nothing of it")
    iq = await anna.command("get_registered_users_list", {"max_items": "25"})
    values = iq["command"]["form"].get_fields()["registereduserjids"]["value"]
    assert set(values) == {"anna@localhost", "bob@localhost"}, values
    await anna.command("announce", {"announcement": "维护\n开始"})
    await bob.until("message", lambda m: m["type"] == "headline" and m["body"] == "维护\n开始")
    step("lists, and an announcement in Chinese with two lines")
    await anna.command("disable_user", {"accountjids": ["bob@localhost"]})
    await bob.until("stream_error")
    bob = Person("bob", port)
    bob.connect("127.0.0.1", port)
    await bob.until("failed_all_auth")
    bob.abort()
    await anna.command("reenable_user", {"accountjids": ["bob@localhost"]})
    step("disabled: out at once, and not let in; enabled again")
    return bob


async def self_list(person):
    items = await person["xep_0030"].get_items(jid="localhost", node="http://jabber.org/protocol/commands")
    return items["disco_items"]["items"]


async def keeps(anna, bob):
    card = anna.plugin["xep_0054"].make_vcard()
    card["FN"] = "安娜"
    await anna.plugin["xep_0054"].publish_vcard(card)
    seen = await bob.plugin["xep_0054"].get_vcard("anna@localhost", cached=False)
    assert seen["vcard_temp"]["FN"] == "安娜", seen
    step("a vCard, seen by another")
    time = await bob.plugin["xep_0202"].get_entity_time("localhost")
    # slixmpp 1.17 cannot parse the time that it reads.
    assert time.xml.findtext(".//{urn:xmpp:time}utc").endswith("Z")
    assert (await bob.plugin["xep_0012"].get_last_activity("localhost"))["last_activity"]["seconds"] >= 0
    try:
        await bob.plugin["xep_0012"].get_last_activity("anna@localhost")
        raise AssertionError("strangers see when anna was here")
    except IqError as error:
        assert error.condition == "forbidden", error
    step("the server's time and uptime; strangers learn nothing of people")
    await bob.plugin["xep_0191"].get_blocked()
    await bob.plugin["xep_0377"].report("anna@localhost", reason="abuse")
    assert "urn:xmpp:reporting:abuse" in admin("reports")
    anna.send_message("bob@localhost", "psst")
    await anna.until("message_error", lambda m: m["error"]["condition"] == "service-unavailable")
    blocked = await bob.plugin["xep_0191"].get_blocked()
    assert {i.get("jid") for i in blocked.xml.iter("{urn:xmpp:blocking}item")} == {"anna@localhost"}
    await bob.plugin["xep_0191"].unblock("anna@localhost")
    anna.send_message("bob@localhost", "hello again")
    await bob.until("message", lambda m: m["body"] == "hello again")
    step("blocked with a report, and unblocked")


async def main():
    admin("user", "add", "anna", "--admin", "--password-stdin", password="pw-anna")
    process, addresses = start()
    try:
        port = int(addresses["c2s"].rsplit(":", 1)[1])
        anna = Person("anna", port)
        await anna.go()
        bob = await administers(anna, port)
        bob = Person("bob", port)
        await bob.go()
        await keeps(anna, bob)
        await anna.command("shutdown", {"delay": "0", "announcement": "bye"})
        await bob.until("message", lambda m: m["body"] == "bye")
        assert await asyncio.to_thread(process.wait, 10) == 0
        step("the server was stopped by command")
    finally:
        process.kill()


asyncio.run(main())
