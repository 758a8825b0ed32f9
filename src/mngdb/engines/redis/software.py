"""What the software of apps (`for:`) needs of a server and cannot have there, as remarks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mngdb.engines.redis import render
from mngdb.model import DesiredInstance, Notice
from mngdb.spec.presets import Preset, Rights, presets
from mngdb.spec.redis import EVENTS, RedisGrant, events

#: What may be evicted where software must not lose keys, to the policy.
_POLICIES = {"noeviction": "noeviction", "volatile": "volatile-lru"}
_POLICY = "maxmemory-policy"
_OWN = "an instance of its own: instances: {NAME: {engine: redis, port: …}}"
#: Apps that a remark names.
_SHOWN = 3

#: An app, the name of its software, and what that needs.
_User = tuple[str, str, Preset]


def notices(asked: DesiredInstance, settings: Mapping[str, str]) -> Iterator[Notice]:
    """What a person should know of it. `settings`: the server's, those of the file first; of a
    server that does not show them, those of the file alone."""
    grants = asked.instance.granted(RedisGrant)
    users = [(app, one, presets()[one]) for app, grant in grants.items() for one in grant.software]
    yield from _one_kind(asked.instance.name, grants)
    yield from _sessions(asked.instance.name, users, len(grants))
    yield from _eviction(asked, users, settings.get(_POLICY))
    if asked.managed:
        yield from _kept(asked)
    else:  # of our own, the file was refused
        yield from _events(asked.instance.name, users, settings.get(EVENTS))


def one_software(grants: Mapping[str, RedisGrant]) -> list[tuple[str, list[str]]]:
    """Software, and apps whose software it is under the same names: each has the others' jobs."""
    found: dict[tuple[str, Rights], list[str]] = {}
    for app, grant in grants.items():
        for one in grant.software:
            if (rights := presets()[one].rights(grant.prefix)) is not None:
                found.setdefault((one, rights), []).append(app)
    return [(one, apps) for (one, _), apps in found.items() if len(apps) > 1]


def _one_kind(name: str, grants: Mapping[str, RedisGrant]) -> Iterator[Notice]:
    for one, apps in one_software(grants):
        text = f"{_listed(apps)} share one {one}"
        prefixes = {grants[app].prefix for app in apps}
        if presets()[one].prefixed is None:
            yield Notice(name, f"{text}, which has no prefix", f"give each {_OWN}")
        elif len(prefixes - {None}) == len(apps):
            hint = "give them 'keys' that differ in letters or digits"
            yield Notice(name, f"{text}, to which their prefixes are the same name", hint)
        else:
            yield Notice(name, text, "if they are not meant to, give each a prefix: keys: 'APP:*'")


def _sessions(name: str, users: Sequence[_User], apps: int) -> Iterator[Notice]:
    found = list(dict.fromkeys(app for app, _, preset in users if preset.sessions))
    if found and apps > 1:
        whose = f"session IDs of {_listed(found)}"
        text = f"{whose} are names of keys, which every app of {name} can list and log in with"
        yield Notice(name, text, f"where they do not trust each other, give each {_OWN}")


def _eviction(
    asked: DesiredInstance, users: Sequence[_User], policy: str | None
) -> Iterator[Notice]:
    """One wish for an instance, the strictest."""
    kept = [one for one in users if one[2].eviction in _POLICIES]
    kept.sort(key=lambda one: one[2].eviction != "noeviction")
    cached = [one for one in users if one[2].eviction == "allkeys"]
    name = asked.instance.name
    if kept:
        app, one, preset = kept[0]
        wanted = _POLICIES[preset.eviction or ""]
        loses = f"{one} of {app} loses keys when memory is full"
        if policy is None:
            yield Notice(name, f"{one} of {app} needs {_POLICY} {wanted}", _asks(_POLICY, wanted))
        elif not _keeps(policy, preset):
            if asked.managed:
                yield Notice(name, f"{loses}: 'eviction: {policy}'", _hint(name, wanted))
            else:
                yield Notice(name, f"{loses}: {_POLICY} is {policy}", _asks(_POLICY, wanted))
    if cached and (kept or (policy is not None and not policy.startswith("allkeys"))):
        app, one, _ = cached[0]
        text = f"{one} of {app} fills the memory with keys that never expire"
        if kept:
            text += f", and {kept[0][1]} of {kept[0][0]} must not lose any"
            yield Notice(name, text, f"give one of them {_OWN}")
        else:
            text += f": with {_POLICY} {policy}, writes fail when it is full"
            hint = _hint(name, "allkeys-lru") if asked.managed else _asks(_POLICY, "allkeys-lru")
            yield Notice(name, text, hint)


def _kept(asked: DesiredInstance) -> Iterator[Notice]:
    """Of apps that left the file, and whose keys may be there."""
    name, said, policy = asked.instance.name, render.spec_of(asked).eviction, render.policy(asked)
    if policy != said:
        text = f"{_POLICY} stays {policy}, which apps needed that have left the file"
        hint = f"where {said} may evict the keys that they left: {_hint(name, said)}"
        yield Notice(name, text, hint)


def _keeps(policy: str, preset: Preset) -> bool:
    """Whether a policy evicts nothing that the software must not lose."""
    return policy == "noeviction" or (
        preset.eviction == "volatile" and policy.startswith("volatile")
    )


def _events(name: str, users: Sequence[_User], said: str | None) -> Iterator[Notice]:
    for app, one, preset in users:
        flags = preset.settings.get(EVENTS, "")
        if flags and not events(flags) <= events(said or ""):
            found = "" if said is None else f"; the server has {said!r}"
            yield Notice(
                name, f"{one} of {app} needs {EVENTS} {flags}{found}", _asks(EVENTS, flags)
            )
            return


def _hint(name: str, policy: str) -> str:
    return f"{name}: {{eviction: {policy}}}"


def _asks(setting: str, value: str) -> str:
    key = f"eviction: {value}" if setting == _POLICY else f"settings: {{{setting}: {value}}}"
    return f"ask its operator, or have 'mngdb up' set it: {key}"


def _listed(apps: Sequence[str]) -> str:
    more = f" and {len(apps) - _SHOWN} more" if len(apps) > _SHOWN else ""
    return ", ".join(apps[:_SHOWN]) + more if more else " and ".join(apps)
