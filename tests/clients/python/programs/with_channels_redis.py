"""channels_redis: both layers; channels and groups. With ALONE, flush() too."""

import asyncio
import os

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
ALONE = os.environ.get("ALONE") == "yes"


async def prove(layer):
    channel = await layer.new_channel()
    await layer.group_add("room", channel)
    await layer.send(channel, {"type": "one", "of": NAME})
    assert await asyncio.wait_for(layer.receive(channel), 60) == {"type": "one", "of": NAME}
    await layer.group_send("room", {"type": "all", "of": NAME})
    assert await asyncio.wait_for(layer.receive(channel), 60) == {"type": "all", "of": NAME}
    await layer.group_discard("room", channel)
    if ALONE:
        await layer.flush()


async def main():
    more = {"prefix": PREFIX} if PREFIX else {}
    core = RedisChannelLayer(hosts=[URL], **more)
    await prove(core)
    await core.send("background", {"type": "task"})
    assert await asyncio.wait_for(core.receive("background"), 60) == {"type": "task"}
    await core.close_pools()
    await prove(RedisPubSubChannelLayer(hosts=[URL], **more))


if __name__ == "__main__":
    asyncio.run(main())
