"""Sends a datagram for each line and waits for one back. `q` ends it and sends nothing."""
import socket, sys

there = (sys.argv[1], int(sys.argv[2]))
me = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin:
    words = line.strip()
    if not words:
        print("(say something)", flush=True)
        continue
    if words == "q":
        break
    me.sendto(words.encode(), there)
    print("heard:", me.recvfrom(1024)[0].decode(), flush=True)
