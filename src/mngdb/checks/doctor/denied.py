"""What servers refused: apps and others, and the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mngdb.facts.denied import Denied, quoted, remedies, shape, tells, told
from mngdb.facts.doctor import LACKS, Diagnosis, Server, StackFacts, Trouble
from mngdb.words import many

#: Logins of no app that are told one by one; also those that are named of more.
_STRANGERS = 3


def refused(facts: StackFacts) -> Iterator[Trouble]:
    """What servers refused their clients. That apps whose own login fails were refused is no news;
    who guesses passwords, or logs in as nobody of the file, is no trouble of an app."""
    strangers: dict[str, list[Denied]] = {}
    for server in facts.servers:
        works = {one.app: one.problem is None or one.kind == LACKS for one in server.logins}
        together: dict[tuple[str, bool], list[Denied]] = {}
        told_of = server.denied.found if server.denied else None
        for one in told_of.found if told_of else ():
            if not one.over and works.get(one.app, True):
                together.setdefault((one.app, one.mild), []).append(one)
        if len({app for app, _ in together if app not in works}) > _STRANGERS:
            # anybody makes up names
            apart = [key for key in together if key[0] not in works]
            strangers[server.instance] = [one for key in apart for one in together.pop(key)]
        for (app, mild), some in sorted(together.items(), key=lambda item: item[0][0] not in works):
            watch = mild or app not in works
            who = app if app in works else quoted(shape(app))
            text = f"{server.instance} refused {who}: {told(some)}"
            where = (server.instance,)
            cause = "refused-login" if mild else "denied"
            yield Trouble(cause, text, "\n".join(remedies(some)), where, app, watch=watch)
    for instance, some in strangers.items():
        yield _of_strangers(instance, some)


def _of_strangers(instance: str, denied: Sequence[Denied]) -> Trouble:
    """What so many logins that no app has were refused, the latest first."""
    names = dict.fromkeys(quoted(shape(one.app)) for one in denied)
    some = ", ".join(list(names)[:_STRANGERS])
    text = f"{instance} refused {many(len(names), 'login')} of no app ({some}, …): {told(denied)}"
    lines = "\n".join(remedies(denied)[:_STRANGERS])
    mild = all(one.mild for one in denied)
    cause = "refused-login" if mild else "denied"
    return Trouble(cause, text, lines, (instance,), watch=True)


def told_lack(server: Server, one: Diagnosis) -> bool:
    """Whether what the server lacks is told with what it refused the app."""
    found = server.denied.found if server.denied else None
    mine = [past for past in found.found if past.app == one.app] if found else []
    return tells(mine, one.problem)


def unfinished(facts: StackFacts) -> Iterator[Trouble]:
    """A server may well run without what the file asks for."""
    for server in facts.servers:
        if server.unfinished and server.condition and server.condition.state == "running":
            name = server.instance
            text = f"{name}: the last 'mngdb up' failed: "
            command = "'mngdb up' again; if it fails the same way, correct the file"
            yield Trouble("watch", text + server.unfinished, command, (name,), watch=True)
