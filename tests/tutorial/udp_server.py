"""Waits for a datagram, answers it with a line from standard input. `q` from anyone ends it."""
import socket, sys

me = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
me.bind((sys.argv[1], int(sys.argv[2])))
print("ready", me.getsockname()[1], flush=True)
while True:
    heard, who = me.recvfrom(1024)
    if heard == b"q":
        print("ended by q", flush=True)
        break
    print("heard:", heard.decode(), flush=True)
    line = next((l.strip() for l in sys.stdin if l.strip()), None)
    if line is None:
        break
    me.sendto(line.encode(), who)
