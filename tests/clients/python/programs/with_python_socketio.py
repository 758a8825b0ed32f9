"""python-socketio and Flask-SocketIO: a server hears a process that only sends."""

import asyncio
import os

import socketio
from flask_socketio import SocketIO

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
MORE = {"channel": f"{PREFIX}socketio"} if PREFIX else {}


async def hears(sender, **more):
    heard = []
    server = socketio.AsyncServer(client_manager=socketio.AsyncRedisManager(URL, **more))

    async def handle(message):
        heard.append(str(message["data"]))

    server.manager._handle_emit = handle
    server.manager.initialize()
    while not heard:  # until it listens
        sender.emit("news", NAME)
        await asyncio.sleep(0.1)
    assert all(NAME in text for text in heard), heard


async def main():
    await hears(socketio.RedisManager(URL, write_only=True, **MORE), **MORE)
    flask = SocketIO(message_queue=URL, **MORE)
    await hears(flask, **(MORE or {"channel": "flask-socketio"}))


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(), 60))
