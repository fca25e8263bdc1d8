"""Three hosts in network namespaces on one bridge, each running `liao direct --json`.

usage: unshare -Urnm --fork --pid --mount-proc python3 hosts.py LIAO_BINARY
"""
import json, os, queue, shutil, signal, subprocess, sys, tempfile, threading, time

LIAO = sys.argv[1]
FOLDER = tempfile.mkdtemp(prefix="liao-direct-hosts-")
PATIENCE = 60


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def is_heard(event):
    return event.get("event") == "message" and not event["outgoing"]


def named(kind):
    return lambda event: event.get("event") == kind


class Host:
    """A network namespace with one address, and the program in it."""

    def __init__(self, name, number):
        self.name, self.number, self.process = name, number, None
        self.address = f"10.7.0.{number}"
        self.folder = os.path.join(FOLDER, name)
        holder = ["unshare", "-n", "sleep", "infinity"]
        self.holder = subprocess.Popen(holder)
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        ip("link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        ip("link", "set", f"v{number}", "master", "lan", "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")
        self.inside("ip", "route", "add", "default", "dev", "eth0")

    def enter(self, *words):
        return ["nsenter", "-t", str(self.holder.pid), "-n", *words]

    def inside(self, *words):
        subprocess.run(self.enter(*words), check=True)

    def start(self):
        words = self.enter(LIAO, "direct", "--json", "--name", self.name, "--client-data", self.folder)
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.events, self.passed, self.known = queue.Queue(), [], {}
        process, events = self.process, self.events

        def read(pipe):
            for line in pipe:
                try:
                    events.put(json.loads(line))
                except ValueError:
                    events.put({"words": line})

        for pipe in (process.stdout, process.stderr):
            threading.Thread(target=read, args=(pipe,), daemon=True).start()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def quit(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, what, pick, patience=PATIENCE):
        """The first event that fits, and how long it took."""
        began = time.monotonic()
        while True:
            left = began + patience - time.monotonic()
            try:
                event = self.events.get(timeout=max(left, 0.001))
            except queue.Empty:
                raise SystemExit(f"{self.name}: no {what}; passed: {self.passed[-30:]}")
            self.passed.append(event)
            if event.get("event") == "contact":
                self.known[event["peer"]] = event["name"]
            if pick(event):
                return event, time.monotonic() - began

    def sees(self, other, here=True):
        """The presence that says so, unless it was said already."""
        def fits(e):
            return e.get("event") == "presence" and self.known.get(e["peer"]) == other.name and e["available"] is here
        last = [e for e in self.passed if e.get("event") == "presence" and self.known.get(e["peer"]) == other.name]
        if not (last and last[-1]["available"] is here):
            self.until(f"{other.name} {'here' if here else 'gone'}", fits)

    def hears(self, text):
        event, _ = self.until(text, is_heard)
        assert event["text"] == text, f"{self.name}: {event} in place of {text}"


def main():
    ip("link", "set", "lo", "up")
    ip("link", "add", "lan", "type", "bridge")
    ip("link", "set", "lan", "up")
    anna, bob, carla = Host("anna", 1), Host("bob", 2), Host("carla", 3)
    for host in (anna, bob, carla):
        host.start()
    for host in (anna, bob, carla):
        host.until("start", named("ready"))
    anna.sees(bob)
    bob.sees(anna)
    print("people appear by themselves")
    # Two become friends by speaking and accepting.
    anna.say("@bob 你好")
    bob.until("request", named("request"))
    bob.say("/accept anna")
    bob.hears("你好")
    bob.say("@anna hello")
    anna.hears("hello")
    print("chat")
    # A newcomer is seen soon.
    carla.quit()
    anna.sees(carla, here=False)
    began = time.monotonic()
    carla.start()
    anna.sees(carla)
    print(f"a newcomer is seen after {time.monotonic() - began:.2f} s")
    # kill -9 in the middle of many messages, of the one who hears and of the one who says.
    for n in range(200):
        anna.say(f"@bob number {n}")
    bob.hears("number 0")
    bob.kill()
    anna.until("last", lambda e: e.get("text") == "number 199")
    # What was said is in the outbox when its state says so; then the other dies, too.
    last = anna.passed[-1]["id"]
    anna.until("its state", lambda e: e.get("id") == last and e.get("event") == "state")
    anna.kill()
    bob.start()
    anna.start()
    anna.until("start", named("ready"))
    anna.say("@bob after all")
    bob.until("the last", lambda e: e.get("text") == "after all")
    # What the killed program had shown before is only on its disk; together it is each once, in order.
    import sqlite3
    db = sqlite3.connect(os.path.join(bob.folder, "client.sqlite3"))
    rows = [r[0] for r in db.execute("SELECT body FROM message WHERE outgoing = 0 ORDER BY n")]
    wanted = ["你好"] + [f"number {n}" for n in range(200)] + ["after all"]
    assert rows == wanted, rows
    print("killed in the middle: each message once, in order")
    # The cable is out for a while.
    subprocess.run(["ip", "link", "set", "v2", "down"], check=True)
    for n in range(20):
        anna.say(f"@bob cut {n}")
    time.sleep(15)
    subprocess.run(["ip", "link", "set", "v2", "up"], check=True)
    for n in range(20):
        bob.hears(f"cut {n}")
    print("a cut: nothing lost")
    # Another address in the middle of a talk.
    bob.inside("ip", "address", "del", "10.7.0.2/24", "dev", "eth0")
    bob.inside("ip", "address", "add", "10.7.0.22/24", "dev", "eth0")
    bob.inside("ip", "route", "replace", "default", "dev", "eth0")
    anna.say("@bob moved?")
    bob.hears("moved?")
    bob.say("@anna moved")
    anna.hears("moved")
    print("another address: nothing lost")
    for host in (anna, bob, carla):
        host.quit()


try:
    main()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
