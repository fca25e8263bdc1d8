"""Takes TCP callers one after the other; listens, then answers with a line from standard input. `q` ends a caller."""
import socket, sys

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(5)
print("ready", listener.getsockname()[1], flush=True)


def answer():
    for line in sys.stdin:
        if line.strip():
            return line.strip().encode()
        print("(say something)", flush=True)
    raise SystemExit


while True:
    call, _ = listener.accept()
    while True:
        heard = call.recv(1024)
        if heard == b"q":
            print("caller gone", flush=True)
            break
        print("heard:", heard.decode(), flush=True)
        call.sendall(answer())
    call.close()
