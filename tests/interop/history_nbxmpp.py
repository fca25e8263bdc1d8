"""nbxmpp (Debian's python3-nbxmpp) reads its archive, switches carbons on, and resumes its stream after a cut.

usage: history_nbxmpp.py DIRECT_TLS_ADDRESS; accounts alice and bob with a conversation of 32 messages.
"""
import socket, sys
import gi
gi.require_version("Soup", "3.0")
from gi.repository import GLib
from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.namespaces import Namespace
from nbxmpp.protocol import Iq, Message, Presence
from nbxmpp.structs import StanzaHandler

loop = GLib.MainLoop()
state = {"results": [], "said": [], "step": "login", "ok": False}


def relay(target):
    """A relay on loopback whose connections can be cut without a word: (port, cut)."""
    listener = socket.create_server(("127.0.0.1", 0))
    pairs = []

    def pump(one, other):
        def ready(_fd, _condition):
            try:
                data = one.recv(65536)
                if data:
                    other.sendall(data)
                    return True
            except OSError:
                pass
            for end in (one, other):
                end.close()
            return False
        GLib.io_add_watch(one.fileno(), GLib.IO_IN | GLib.IO_HUP, ready)

    def accept(_fd, _condition):
        near, _ = listener.accept()
        far = socket.create_connection(target)
        pairs.append((near, far))
        pump(near, far)
        pump(far, near)
        return True

    def cut():
        for near, far in pairs:
            for end in (near, far):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        pairs.clear()

    GLib.io_add_watch(listener.fileno(), GLib.IO_IN, accept)
    return listener.getsockname()[1], cut


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def client(name, port):
    c = Client(log_context=name)
    c.set_username(name)
    c.set_domain("localhost")
    c.set_resource("nbxmpp")
    c.set_password("pw-" + name)
    c.set_ignore_tls_errors(True)
    c.set_custom_host(f"127.0.0.1:{port}", ConnectionProtocol.TCP, ConnectionType.DIRECT_TLS)
    return c


def fail(*words):
    print("FAILED:", *words, flush=True)
    loop.quit()


port, cut = relay(address(sys.argv[1]))
bob = client("bob", port)
alice = client("alice", address(sys.argv[1])[1])


def on_message(_client, stanza, properties):
    if properties.is_mam_message:
        state["results"].append(properties.mam.id)
    elif stanza.getBody():
        state["said"].append(stanza.getBody())
        if state["said"] == ["before", "during the cut", "after"]:
            state["ok"] = state["resumed"]
            loop.quit()
        elif state["said"] == ["before"]:
            # The network goes, and words are under way.
            alice.send_stanza(Message(to="bob@localhost", body="during the cut", typ="chat"))
            cut()


def on_archive(task):
    try:
        page = task.finish()
    except Exception as error:
        return fail("archive", error)
    if len(state["results"]) != 32 or not page.complete or page.rsm.last != state["results"][-1]:
        return fail("archive", len(state["results"]), page)
    print("  ok: nbxmpp reads 32 messages of the archive", flush=True)
    enable = Iq("set")
    enable.addChild("enable", namespace=Namespace.CARBONS)
    bob.SendAndCallForResponse(enable, on_carbons)


def on_carbons(_client, answer):
    if answer.isError():
        return fail("carbons", answer)
    alice.connect()


def on_bob(_client, _signal):
    bob.send_stanza(Presence())
    bob.get_module("MAM").make_query("bob@localhost", queryid="q", max_=100, callback=on_archive)


def on_alice(_client, _signal):
    alice.send_stanza(Message(to="bob@localhost", body="before", typ="chat"))


def on_resumed(*_):
    state["resumed"] = True
    print("  ok: nbxmpp resumes its stream after a cut", flush=True)
    alice.send_stanza(Message(to="bob@localhost", body="after", typ="chat"))


state["resumed"] = False
bob.register_handler(StanzaHandler(name="message", callback=on_message, priority=10))
bob.subscribe("connected", on_bob)
bob.subscribe("resume-successful", on_resumed)
bob.subscribe("resume-failed", lambda *_: fail("not resumed"))
bob.subscribe("disconnected", lambda *_: bob.connect())
for one in (alice, bob):
    one.subscribe("connection-failed", lambda *_: fail("connection"))
alice.subscribe("connected", on_alice)
bob.connect()
GLib.timeout_add_seconds(40, lambda: fail("too slow", state) or False)
loop.run()
if not state["ok"]:
    sys.exit(f"nbxmpp: {state}")
