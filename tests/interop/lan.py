"""`liao serve --lan` on a network of its own: a TAP device in a network namespace. Listeners, the certificate by the
local authority, the redirect, the invite, and the announcement by multicast DNS as it leaves the machine.

usage: unshare -rn python lan.py LIAO_BINARY
"""
import fcntl, os, pathlib, socket, ssl, struct, subprocess, sys, tempfile, time, urllib.request

LIAO = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory(prefix="liao-lan-")
data = pathlib.Path(folder.name) / "data"
try:
    tap = os.open("/dev/net/tun", os.O_RDWR)
    # TUNSETIFF with IFF_TAP | IFF_NO_PI (linux/if_tun.h).
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH", b"tap0", 0x1002))
except OSError as error:
    print(f"SKIPPED: tests/interop/lan.py: no TAP device here ({error})")
    raise SystemExit(0)
for command in ("link set lo up", "addr add 192.0.2.7/24 dev tap0", "link set tap0 up multicast on",
                "addr add 2001:db8::7/64 dev tap0 nodad",
                "route add default dev tap0"):
    subprocess.run(["ip", *command.split()], check=True)

process = subprocess.Popen([LIAO, "serve", "--lan", "--data", str(data)], stdout=subprocess.PIPE, text=True,
                           cwd=folder.name)
try:
    banner = []
    for line in process.stdout:
        banner.append(line.strip())
        if line.strip().startswith("SHA-256 of the authority"):
            break
    text = "\n".join(banner)
    name = next(w for w in banner[0].split() if w.endswith(".local"))
    assert "0.0.0.0:5222" in text and "127.0.0.1:8080" in text, text
    assert f"On your network: {name} (192.0.2.7)" in text, text
    print("  ok: on all interfaces, the plain sockets on loopback alone, as", name)

    pem = urllib.request.urlopen("http://192.0.2.7:5280/ca.pem").read().decode()
    trust = ssl.create_default_context(cadata=pem)
    for host in ("192.0.2.7", name, "localhost"):
        with socket.create_connection(("192.0.2.7", 5281)) as plain:
            with trust.wrap_socket(plain, server_hostname=host) as tls:
                tls.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert tls.recv(100).startswith(b"HTTP/1.1 200"), host
    print("  ok: who installed the authority is not warned, by name or by address")


    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    for host in (name, "192.0.2.7"):
        request = urllib.request.Request("http://192.0.2.7:5280/invite/x", headers={"Host": f"{host}:5280"})
        try:
            urllib.request.build_opener(Stay).open(request)
            raise AssertionError("plain HTTP served a page")
        except urllib.error.HTTPError as error:
            assert error.code == 308 and error.headers["location"] == f"https://{host}:5281/invite/x", error.headers
    print("  ok: plain HTTP leads to HTTPS, by the name or the address that was asked for")

    link = next(w for w in banner if w.startswith("https://") and "/invite/" in w)
    link = link.replace(name, "192.0.2.7")
    chat = subprocess.run([LIAO, "chat", link, "--plain", "--client-data", f"{folder.name}/client"],
                          input="lin\na password\n/who\n", text=True, capture_output=True, timeout=30)
    assert f"lin@{name} is yours" in chat.stderr and chat.returncode == 0, chat.stderr
    print("  ok: liao chat takes the invite by the machine's address")

    os.set_blocking(tap, False)
    # An AAAA record would have this type and class (with the cache-flush bit): nothing listens on IPv6.
    label, seen, end = name.split(".")[0].encode(), set(), time.monotonic() + 10
    while len(seen) < 2 and time.monotonic() < end:
        try:
            frame = os.read(tap, 65_536)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        assert b"\x00\x1c\x80\x01" not in frame, "an IPv6 address is announced"
        # Ethernet and IPv4 without options: UDP to port 5353; answers have the QR bit.
        udp = frame[34:42]
        if frame[12:14] == b"\x08\x00" and frame[23] == 17 and udp[2:4] == struct.pack(">H", 5353) and frame[44] & 0x80:
            seen |= {k for k in (b"_xmpp-client", b"_https") if k in frame and label in frame}
    assert len(seen) == 2, seen
    print("  ok: the name and both services are announced by multicast DNS")
    process.terminate()
    assert process.wait(10) == 0
    print("5 steps passed")
finally:
    process.kill()
    folder.cleanup()
