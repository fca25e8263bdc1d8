"""Calls a TCP server; speaks, then waits for one answer. `q` closes without a word."""
import socket, sys

call = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    words = line.strip()
    if not words:
        print("(say something)", flush=True)
        continue
    if words == "q":
        break
    call.sendall(words.encode())
    print("heard:", call.recv(1024).decode(), flush=True)
call.close()
