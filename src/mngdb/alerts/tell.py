"""One message, sent by a process of its own: `python -m mngdb.alerts.tell`.

The agent runs for months and stays small; what sending needs is imported here and gone afterwards.
Everything comes by standard input, secrets too; what went wrong goes to standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from mngdb.alerts.evaluator import restored
from mngdb.alerts.notify import Message
from mngdb.errors import MngdbError
from mngdb.run import run
from mngdb.secret import Secret
from mngdb.spec.alerts import Channel

#: Seconds for a message, with a connection to every receiver's server.
_TIMEOUT = 90.0


def tell(
    name: str,
    channel: Channel,
    secret: Secret | None,
    message: Message,
    environ: Mapping[str, str],
) -> None:
    """Send a message from a process of its own. Raises MngdbError with the reason."""
    document = {
        "name": name,
        "channel": channel.model_dump(mode="json", by_alias=True, exclude_none=True),
        "secret": secret.reveal() if secret else None,
        "stack": message.stack,
        "timezone": message.timezone,
        "firing": [alert.as_json() for alert in message.firing],
        "resolved": [alert.as_json() for alert in message.resolved],
        "fresh": [alert.key in message.fresh for alert in message.firing],
    }
    # -P: what lies in the current folder is not imported
    argv = [sys.executable, "-P", "-m", "mngdb.alerts.tell"]
    done = run(argv, timeout=_TIMEOUT, stdin=json.dumps(document), env=environ)
    said = json.loads(done.stdout)
    if said["error"]:
        raise MngdbError(said["error"], said["hint"])


def _main(document: Mapping[str, Any]) -> dict[str, str | None]:
    from mngdb.alerts.channels import send

    firing = tuple(restored(one) for one in document["firing"])
    message = Message(
        document["stack"],
        firing,
        tuple(restored(one) for one in document["resolved"]),
        frozenset(a.key for a, fresh in zip(firing, document["fresh"], strict=True) if fresh),
        document["timezone"],
    )
    secret = document["secret"]
    channel = Channel.model_validate(document["channel"])
    try:
        send(document["name"], channel, Secret(secret) if secret else None, message)
    except MngdbError as error:
        return {"error": error.message, "hint": error.hint}
    return {"error": None, "hint": None}


if __name__ == "__main__":
    print(json.dumps(_main(json.load(sys.stdin))))
