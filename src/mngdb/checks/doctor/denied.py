"""What servers refused: apps and others, and the file."""

from __future__ import annotations

from collections.abc import Iterator

from mngdb.facts.denied import Denied, quoted, remedies, shape, told
from mngdb.facts.doctor import LACKS, StackFacts, Trouble


def refused(facts: StackFacts) -> Iterator[Trouble]:
    """What servers refused their clients. That apps whose own login fails were refused is no news;
    who guesses passwords, or logs in as nobody of the file, is no trouble of an app."""
    for server in facts.servers:
        works = {one.app: one.problem is None or one.kind == LACKS for one in server.logins}
        together: dict[tuple[str, bool], list[Denied]] = {}
        told_of = server.denied.found if server.denied else None
        for one in told_of.found if told_of else ():
            if not one.over and works.get(one.app, True):
                together.setdefault((one.app, one.mild), []).append(one)
        for (app, mild), some in together.items():
            watch = mild or app not in works
            who = app if app in works else quoted(shape(app))
            text = f"{server.instance} refused {who}: {told(some)}"
            where = (server.instance,)
            cause = "refused-login" if mild else "denied"
            yield Trouble(cause, text, "\n".join(remedies(some)), where, app, watch=watch)


def unfinished(facts: StackFacts) -> Iterator[Trouble]:
    """A server may well run without what the file asks for."""
    for server in facts.servers:
        if server.unfinished and server.condition and server.condition.state == "running":
            name = server.instance
            text = f"{name}: the last 'mngdb up' failed: "
            command = "'mngdb up' again; if it fails the same way, correct the file"
            yield Trouble("watch", text + server.unfinished, command, (name,), watch=True)
