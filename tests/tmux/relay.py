"""A network that goes away: passes bytes on to a server until SIGUSR1, and again after SIGUSR2.

usage: relay.py HOST:PORT. Prints its own port.
"""
import asyncio, signal, sys

host, port = sys.argv[1].rsplit(":", 1)
away, writers = False, set()


async def passes(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def caller(reader, writer):
    if away:
        return writer.transport.abort()
    there, onward = await asyncio.open_connection(host, int(port))
    writers.update((writer, onward))
    await asyncio.gather(passes(reader, onward), passes(there, writer))
    writers.difference_update((writer, onward))


def goes():
    global away
    away = True
    for writer in writers:
        writer.transport.abort()


def comes():
    global away
    away = False


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, goes)
    loop.add_signal_handler(signal.SIGUSR2, comes)
    server = await asyncio.start_server(caller, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
