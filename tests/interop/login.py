"""Logging in with nobody's library: SASL2 and Bind 2 (XEP-0388, XEP-0386), SCRAM with channel binding (RFC 5802, 5929),
with hashes and TLS of Python alone; and what a wrong password costs beside an unknown name.

usage: login.py LIAO_BINARY [TRIES]. Starts its own server on free ports of loopback in a temporary folder.
"""
import base64, hashlib, hmac, json, os, pathlib, random, re, secrets, socket, ssl, statistics, subprocess, sys, tempfile, time

LIAO, TRIES = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40
folder = tempfile.TemporaryDirectory(prefix="liao-login-")
data = pathlib.Path(folder.name) / "data"
BIND = ("<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/><bind xmlns='urn:xmpp:bind:0'><tag>py</tag>"
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>")


def start():
    settings = {f"LIAO_LISTEN_{n}": "127.0.0.1:0" for n in ("C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS")}
    # Here the pauses after wrong passwords would be all that is measured.
    settings |= {"LIAO_LIMITS_AUTH_FAILURES": "1000", "RUST_LOG": "error"}
    process = subprocess.Popen([LIAO, "serve", "--data", str(data)], env={**os.environ, **settings},
                               stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "certificate" in line:
            break
    else:
        raise SystemExit("the server did not start")
    subprocess.run([LIAO, "admin", "--data", str(data), "user", "add", "anna", "--password-stdin"], input="pw-anna",
                   text=True, check=True, stdout=subprocess.DEVNULL)
    return process, json.loads((data / "addresses.json").read_text())["c2s_tls"]


class Stream:
    """Direct TLS; the header and the first words are one flight."""

    def __init__(self, address, more=""):
        host, port = address.rsplit(":", 1)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(socket.create_connection((host, int(port))), server_hostname="localhost")
        self.socket.settimeout(10)
        self.text = ""
        self.send("<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
                  "xmlns:stream='http://etherx.jabber.org/streams'>" + more)

    def send(self, text):
        self.socket.sendall(text.encode())

    def until(self, *ends):
        while not any(end in self.text for end in ends):
            piece = self.socket.recv(65536).decode()
            assert piece, f"the server closed after {self.text}"
            self.text += piece
        at = min(self.text.index(end) + len(end) for end in ends if end in self.text)
        said, self.text = self.text[:at], self.text[at:]
        return said

    def end_point(self):
        return hashlib.sha256(self.socket.getpeercert(True)).digest()


def b64(data):
    return base64.b64encode(data).decode()


def authenticate(mechanism, initial, more=""):
    return (f"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'><initial-response>{b64(initial)}"
            f"</initial-response>{more}</authenticate>")


class Scram:
    def __init__(self, name, password, gs2, binding=b""):
        self.password, self.cbind = password, gs2.encode() + binding
        self.bare = f"n={name},r={secrets.token_hex(12)}"
        self.first = gs2.encode() + self.bare.encode()

    def last(self, challenge):
        parts = dict(p.split("=", 1) for p in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        mac = lambda key, text: hmac.new(key, text, hashlib.sha256).digest()
        client, whole = mac(salted, b"Client Key"), f"c={b64(self.cbind)},r={parts['r']}"
        auth = f"{self.bare},{challenge},{whole}".encode()
        proof = bytes(a ^ b for a, b in zip(client, mac(hashlib.sha256(client).digest(), auth)))
        self.server = "v=" + b64(mac(mac(salted, b"Server Key"), auth))
        return f"{whole},p={b64(proof)}".encode()


def log_in(stream, mechanism, scram, more=""):
    stream.send(authenticate(mechanism, scram.first, more))
    said = stream.until("</challenge>", "</failure>")
    if "</failure>" in said:
        return said
    challenge = base64.b64decode(re.search(r"<challenge[^>]*>([^<]*)<", said)[1]).decode()
    stream.send(f"<response xmlns='urn:xmpp:sasl:2'>{b64(scram.last(challenge))}</response>")
    said = stream.until("</success>", "</failure>")
    if "</success>" in said:
        assert b64(scram.server.encode()) in said, "the server proves that it knows the password"
    return said


def measure(address, tries):
    """Milliseconds of a refusal: a wrong password, and a name that nobody has, in an order of chance."""
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        times, words = {"anna": [], "nobody": []}, set()
        order = ["anna", "nobody"] * tries
        random.shuffle(order)
        for name in order:
            stream = Stream(address)
            stream.until("</stream:features>")
            begun = time.perf_counter()
            if mechanism == "PLAIN":
                stream.send(authenticate(mechanism, f"\0{name}\0wrong".encode()))
                words.add(stream.until("</failure>"))
            else:
                words.add(log_in(stream, mechanism, Scram(name, "wrong", "n,,")))
            times[name].append(1000 * (time.perf_counter() - begun))
            stream.socket.close()
        known, unknown = (statistics.median(times[name]) for name in ("anna", "nobody"))
        print(f"{mechanism}: wrong password {known:.2f} ms, unknown name {unknown:.2f} ms (medians of {tries})")
        assert len(words) == 1, words


server, address = start()
try:
    # One flight each way: the header, the login and the wish to bind; then features, success and a bound session.
    stream = Stream(address, authenticate("PLAIN", b"\0anna\0pw-anna", BIND))
    said = stream.until("</success>")
    assert "<enabled" in said and "<bound" in said and "anna@localhost/py/" in said, said
    stream.until("</stream:features>")
    stream.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    stream.until("id='p'")
    sm, = re.findall(r"<enabled [^>]*\bid='([^']+)'", said)
    first, = re.findall(r"<authorization-identifier>([^<]+)<", said)
    stream.socket.close()

    # Channel binding by the certificate, and resumption in the same login.
    stream = Stream(address)
    features = stream.until("</stream:features>")
    assert "SCRAM-SHA-256-PLUS" in features and "type='tls-server-end-point'" in features, features
    gs2 = "p=tls-server-end-point,,"
    wrong = log_in(stream, "SCRAM-SHA-256-PLUS", Scram("anna", "pw-anna", gs2, bytes(32)), BIND)
    assert "channel-bindings-dont-match" in wrong, wrong
    resume = f"<resume xmlns='urn:xmpp:sm:3' h='0' previd='{sm}'/>"
    said = log_in(stream, "SCRAM-SHA-256-PLUS", Scram("anna", "pw-anna", gs2, stream.end_point()), resume + BIND)
    assert f"previd='{sm}'" in said and "<resumed" in said and "<bound" not in said, said
    # What was not acknowledged comes again; no features stand in between.
    assert "<iq" in stream.until(">"), "the answer to the ping"

    # The same program comes without resuming: the same address.
    stream = Stream(address, authenticate("PLAIN", b"\0anna\0pw-anna", BIND))
    assert first in stream.until("</success>")
    measure(address, TRIES)
    print("ok")
finally:
    server.terminate()
    server.wait()
