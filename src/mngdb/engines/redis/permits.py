"""The line of the file that permits an app what Redis refused it.

A line is offered only if the file takes it, if it permits what was refused, and if nothing that the
app has is lost by it. Nothing is offered that other apps have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from pydantic import ValidationError

from mngdb.engines.redis.acl_log import Entry
from mngdb.engines.redis.patterns import overlap
from mngdb.facts.denied import NO_LINE, PERMITTED, UNTOLD, key_shape, permit, quoted, whole
from mngdb.model import DesiredInstance
from mngdb.spec.presets import Preset, prefix_of, presets
from mngdb.spec.redis import RedisGrant
from mngdb.spec.redis_commands import deletes, denies, harms_neighbours

#: Between the name of a queue of kombu's, which may be any, and a priority.
_PRIORITY = "\x06\x16"
#: What the key of a queue's bindings begins with, in kombu.
_BINDING = "_kombu.binding."
#: Where the server tells clients of the protocol's second version which keys have changed.
_CHANGED = "__redis__:invalidate"
#: Of a command that the file permits, and that deletes the keys of all.
_WITHHELD = (
    "the file permits it by now, and 'mngdb up' applies that once no login of an app that left the "
    "file is there: 'mngdb plan' names them, 'mngdb up --prune' drops them"
)
#: Of a client's question about the nodes of a cluster, which no file permits.
_NO_CLUSTER = (
    "the client asks for a Redis Cluster: set in the app that it is a single server (rueidis: "
    "'ForceSingleClient: true'; others: a client without 'Cluster' in its name)"
)


def without_a_line(grant: RedisGrant, one: Entry, every: Iterable[Entry]) -> str:
    """What helps where the file needs no line: it permits it by now, or the app's software has to
    be told its prefix. Empty: a line it has to be. `every`: what the app was refused."""
    if _permitted(grant, one):
        # `mngdb up` withholds it while logins of apps that left the file are there
        return _WITHHELD if one.reason == "command" and deletes(f"+{one.object}") else PERMITTED
    if one.reason not in {"key", "channel"}:
        return ""
    queues = {
        other.object.partition(_PRIORITY)[0].removeprefix(_BINDING)
        for other in every
        if _PRIORITY in other.object or other.object.startswith(_BINDING)
    }
    queue = one.reason == "key" and one.object.partition(_PRIORITY)[0] in queues
    return _untold(grant, one.object, queue=queue)


def lines(
    asked: DesiredInstance,
    app: str,
    grant: RedisGrant,
    entries: Sequence[Entry],
    writes: frozenset[str],
) -> dict[str, str]:
    """By reason, the line that permits all that was refused for it, or why none does. `writes`:
    commands that write."""
    by_reason = {
        reason: some
        for reason in ("key", "channel", "command")
        if (some := [one for one in entries if one.reason == reason])
    }
    file = _File(asked, app, grant)
    for some in by_reason.values():  # so that the file has the fields of all of them
        _line(file, grant, some, writes)
    return {reason: _line(file, grant, some, writes) for reason, some in by_reason.items()}


def _line(file: _File, grant: RedisGrant, entries: Sequence[Entry], writes: frozenset[str]) -> str:
    """The same for one reason."""
    reason = entries[0].reason
    if grant.access == "readonly" and any(_writing(one, grant, writes) for one in entries):
        return permit(file.place, grant.written, "access", "readwrite")
    if reason == "command":
        return file.commands(list(dict.fromkeys(one.object for one in entries)))
    parts = file.channels(entries) if reason == "channel" else file.keys(entries)
    text = "\n".join(dict.fromkeys(parts))
    any_name = _any_name(grant)
    # a name that has the prefix behind words of the software's own: it was told
    if any_name and not all(f":{grant.prefix}" in one.object for one in entries):
        who = " or ".join(any_name)
        return f"if {who} asked, set in the app: {_told(grant, any_name)}\notherwise: {text}"
    named = [*file.software(entries)]
    return "\n".join([*named, f"otherwise: {text}"]) if named else text


def _permitted(grant: RedisGrant, one: Entry) -> bool:
    """Whether a right includes what was refused."""
    if one.reason == "key":
        return grant.access == "readwrite" and _matches(one.object, grant.keys)
    if one.reason == "channel":
        return one.object in grant.heard or (
            one.command != "psubscribe" and _matches(one.object, grant.heard)
        )
    about = [rule for rule in grant.commands if denies(f"-{rule[1:]}", one.object)]
    return bool(about) and about[-1][0] == "+"


def _writing(one: Entry, grant: RedisGrant, writes: frozenset[str]) -> bool:
    """Whether it was refused because the app may only read."""
    if one.reason == "command":
        return one.object in writes
    return one.reason == "key" and _matches(one.object, grant.keys)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, one) for one in patterns)


def _widest(names: Sequence[str]) -> list[str]:
    """Without those that another one includes: `x:y:*` beside `x:*`."""
    heads = {one: prefix_of(one) for one in names}
    return [
        one
        for one in names
        if not any(head and one != other and one.startswith(head) for other, head in heads.items())
    ]


# --- software that was not told its prefix


def _untold(grant: RedisGrant, name: str, *, queue: bool) -> str:
    """What software has to be told that uses the names that it has without a prefix, or with
    another one, while the file gives it one. `queue`: whether a queue of kombu's is called so."""
    for software in grant.software if grant.prefix else ():
        preset = presets()[software]
        if preset.prefixed is None:
            continue
        mine = preset.prefixed.below(grant.prefix or "")
        theirs = _matches(name, _names(preset)) or (queue and "kombu" in preset.aliases)
        if theirs and not _matches(name, (*mine.keys, *mine.channels)):
            return f"{software} {UNTOLD}; set in the app: {_told(grant, [software])}"
    return ""


def _names(preset: Preset) -> list[str]:
    """Patterns of what software uses without the prefix of the file."""
    plain = preset.default if preset.default and not preset.default.own else None
    # `huey.*.*`: any name of the software's, where it begins with words of its own
    other = preset.prefixed.anywhere() if preset.prefixed else None
    return [
        *((*plain.keys, *plain.channels) if plain else ()),
        *(one for one in ((*other.keys, *other.channels) if other else ()) if one[0] not in "*{"),
    ]


def _unnamed(grant: RedisGrant, entries: Iterable[Entry]) -> list[str]:
    """Software that the file does not name for the app and that has most of what was refused, where
    the names begin with words of its own; those below the app's prefix, too."""
    prefix = grant.prefix or ""
    bare = [(one.object.removeprefix(prefix), one.command == "psubscribe") for one in entries]
    counts: dict[str, int] = {}
    for software, preset in presets().items():
        theirs = [one for one in _names(preset) if one[0] not in "*:"]
        every = preset.default.heard if preset.default else ()
        heard = [one for one in every if one[0] not in "*:"]
        if software not in grant.software:
            # what PSUBSCRIBE is given is compared letter by letter
            counts[software] = sum(
                name in heard if literal else _matches(name, theirs) for name, literal in bare
            )
    most = max(counts.values(), default=0)
    return [one for one, count in counts.items() if most and count == most]


def _any_name(grant: RedisGrant) -> list[str]:
    """Software with a prefix that may use any name as long as it is not told."""
    every = ((one, presets()[one]) for one in grant.software if grant.prefix)
    return [
        name for name, preset in every
        if preset.prefixed and (preset.default is None or preset.default.own)
    ]  # fmt: skip


def _told(grant: RedisGrant, software: Iterable[str]) -> str:
    """What these have to be told of their prefix, as their users write it."""
    every = (presets()[one].rights(grant.prefix) for one in software)
    return "; ".join(text for one in every if one for text in one.client)


# --- lines


class _File:
    """One app's right in one instance, as the file has it and as it could have it."""

    def __init__(self, asked: DesiredInstance, app: str, grant: RedisGrant) -> None:
        self._asked, self._app, self._grant = asked, app, grant
        self._alone = len(asked.instance.grants) == 1
        self.place = f"apps.{app}.{asked.instance.name}"
        #: Fields for which a line was made.
        self._fields: dict[str, Sequence[str]] = {}

    def commands(self, names: Sequence[str]) -> str:
        """For commands, of which some are for an instance that the app has to itself."""
        harms = {one: why for one in names if (why := harms_neighbours(f"+{one}"))}
        shared = {} if self._alone else harms
        cluster = [one for one in names if one.startswith("cluster|")]
        free = [f"+{one}" for one in names if one not in shared and one not in cluster]
        parts = list(self._with("commands", self._grant.written.commands, free))
        parts += [
            f"{quoted(one)} is for an instance of its own ('instances:'): {why}{self._known(one)}"
            for one, why in shared.items()
        ]
        parts += [_NO_CLUSTER] if cluster else []
        return "\n".join(parts)

    def _known(self, command: str) -> str:
        """What is known of the app's software that uses it."""
        prefix = self._grant.prefix or f"{self._app}:"
        every = ((one, presets()[one]) for one in self._grant.software)
        found = [f"{one}: {it.shared(prefix)}" for one, it in every if f"+{command}" in it.alone]
        return f" ({'; '.join(found)})" if found else ""

    def software(self, entries: Iterable[Entry]) -> Iterator[str]:
        """The line that names the software whose own names these are, one for each that has them:
        what it uses next is permitted then, too."""
        written = self._grant.written
        for software in _unnamed(self._grant, entries):
            had = self._grant.software
            wanted: dict[str, Sequence[str]] = {"for": [*had, software] if had else software}
            if written.channels is None and not written.for_:
                # with 'for' they are no longer the same as its keys
                wanted = {"channels": written.keys, **wanted}
            found = self._resolved(wanted)
            if found is None or not self._keeps(found) or self._refused(found):
                continue
            line = permit(self.place, written, "for", wanted["for"])
            if len(wanted) > 1:
                line = whole(self.place, written, wanted)
            text = f"if {software} asked: {line}"
            client = _told(found, [software])
            yield f"{text}; set in the app: {client}" if client else text

    def _refused(self, found: RedisGrant) -> bool:
        """Whether a right has what others have, or its software does not go with theirs."""
        instance, had = self._asked.instance, self._grant
        rights = {**instance.granted(RedisGrant), self._app: found}
        return any(instance.spec.contradictions(rights)) or any(
            self._others(field, one)
            for field, new, old in (
                ("keys", found.keys, had.keys),
                ("channels", found.heard, had.heard),
            )
            for one in new
            if one not in old
        )

    def keys(self, entries: Sequence[Entry]) -> Iterator[str]:
        """For keys."""
        names = [one.object for one in entries]
        wanted = dict.fromkeys(map(self._pattern, (one for one in names if self._plain(one))))
        yield from self._free("keys", self._grant.written.keys, wanted)
        yield from self._unsaid(names)

    def channels(self, entries: Sequence[Entry]) -> Iterator[str]:
        """For channels; what PSUBSCRIBE is given is compared letter by letter."""
        written = self._grant.written
        literal = dict.fromkeys(one.object for one in entries if one.command == "psubscribe")
        below = [one for one in literal if self._takes("patterns", [*written.patterns, one])]
        yield from self._with("patterns", written.patterns, below)
        wanted = dict.fromkeys(
            one.object if one.object in {_CHANGED, *literal} else self._pattern(one.object)
            for one in entries
            if one.object not in below
            if one.object in literal or self._plain(one.object)
        )
        had = written.channels
        if had is None:
            had = [] if written.for_ else written.keys
        yield from self._free("channels", had, wanted)
        yield from self._unsaid([one.object for one in entries if one.object not in literal])

    def _free(self, field: str, had: Sequence[str], wanted: Iterable[str]) -> Iterator[str]:
        """What nobody else has, and why the rest cannot be."""
        owned = {one: why for one in wanted if (why := self._others(field, one))}
        free = [one for one in wanted if one not in owned]
        # channels that PSUBSCRIBE is given are compared letter by letter
        yield from self._with(field, had, _widest(free) if field == "keys" else free)
        yield from owned.values()

    def _with(self, field: str, had: Sequence[str], wanted: Iterable[str]) -> Iterator[str]:
        """The line with what the file takes of `wanted`, and what it takes none of."""
        taken, bad = list(had), []
        for one in wanted:
            if self._takes(field, [*taken, one]):
                taken.append(one)
            else:
                bad.append(one)
        if len(taken) > len(had):
            yield self._line(field, taken)
        if bad and field == "keys" and not had:
            yield from self._with_prefix(bad)
        elif bad:
            yield f"{NO_LINE} {', '.join(quoted(one.removeprefix('+')) for one in bad)}"

    def _with_prefix(self, wanted: Sequence[str]) -> Iterator[str]:
        """Software without a prefix would take the first of its keys for one: it gets one."""
        values = [f"{self._app}:*", *wanted]
        found = self._resolved({"keys": values})
        if found is None or self._others("keys", values[0]):
            yield f"{NO_LINE} {', '.join(map(quoted, wanted))}"
            return
        who = " and ".join(one for one in found.software if presets()[one].prefixed)
        yield (
            f"{self._line('keys', values)}\nthe first of 'keys' is the prefix of {who}; set in the "
            f"app: {_told(found, found.software)}"
        )

    def _line(self, field: str, values: Sequence[str]) -> str:
        self._fields[field] = values
        return permit(self.place, self._grant.written, field, values, **self._fields)

    def _takes(self, field: str, values: Sequence[str]) -> bool:
        """Whether the file takes this, and the app loses nothing by it."""
        found = self._resolved({field: values})
        return found is not None and self._keeps(found)

    def _keeps(self, found: RedisGrant) -> bool:
        """Whether the app loses nothing by a right."""
        had = self._grant
        return all(
            {*before} <= {*after}
            for before, after in (
                (had.keys, found.keys),
                (had.heard, found.heard),
                (had.commands, found.commands),
            )
        )

    def _resolved(self, fields: Mapping[str, Sequence[str]]) -> RedisGrant | None:
        """The right that these make; None: the file refuses it."""
        given = self._grant.written.model_dump(by_alias=True, exclude_unset=True)
        try:
            found = RedisGrant.model_validate(given | {**fields})
        except ValidationError:
            return None
        return found.resolved(alone=self._alone and self._asked.instance.managed)

    def _others(self, field: str, pattern: str) -> str:
        """Why a pattern of keys or channels is not the app's to have; empty: it is nobody's."""
        if pattern == _CHANGED:
            return ""  # it is the server's, and tells each client of its own keys
        if pattern[:1] in {"*", "?", "["}:
            return (
                f"{quoted(pattern)} would be {field} of every app: use names that begin as its own"
            )
        for other, grant in self._asked.instance.granted(RedisGrant).items():
            theirs = grant.keys if field == "keys" else grant.heard
            if other != self._app and any(overlap(pattern, one) for one in theirs):
                return f"{quoted(pattern)} has {field} of {other}: they are for that app alone"
        return ""

    def _parts(self, name: str) -> tuple[str, str]:
        """What the names begin with that a refused one is one of, and the app's own prefix where it
        follows: `bull:` of `bull:mail:7`, `lock:` and `shop:` of `lock:shop:7`, which leaves
        `lock:` to other apps. Empty: it stands for itself."""
        for one in filter(None, map(prefix_of, self._grant.written.keys)):
            head, found, _ = name.partition(f":{one}")
            if head and found:
                return f"{head}:", one
        head, colon, _ = name.partition(":")
        return (f"{head}:", "") if head and colon else ("", "")

    def _pattern(self, name: str) -> str:
        """The pattern of the names that a refused one is one of."""
        head, own = self._parts(name)
        return f"{key_shape(head)}{own}*" if head else key_shape(name)

    def _plain(self, name: str) -> bool:
        """Whether no pattern made of this name takes a part of it for any characters."""
        head, _ = self._parts(name)
        return not {*(head or name)} & {"*", "?"}

    def _unsaid(self, names: Iterable[str]) -> Iterator[str]:
        """Of names that no pattern means alone."""
        found = dict.fromkeys(quoted(key_shape(one)) for one in names if not self._plain(one))
        if found:
            yield f"{NO_LINE} {', '.join(found)}: '*' and '?' of a pattern are any characters"
