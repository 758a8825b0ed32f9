"""What cannot be true together, though each line alone is right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from mngdb.spec.agent import AGENT, MONITOR, Agent
from mngdb.spec.atlas import Atlas
from mngdb.spec.base import AUTO, BaseGrant, BaseInstance
from mngdb.spec.compose import Compose
from mngdb.spec.engine_info import ENGINE_INFO, unit_suffix
from mngdb.spec.file import StackFile
from mngdb.spec.mongodb import MongodbInstance
from mngdb.spec.problems import Problem
from mngdb.spec.redis import RedisGrant
from mngdb.spec.several import REST, DatabasesGrant
from mngdb.spec.source import Trail
from mngdb.spec.stack import Stack, secret_name
from mngdb.spec.target import Target
from mngdb.spec.target_info import TARGET_INFO
from mngdb.spec.target_models import External

#: Networks whose addresses are not routed on the internet (RFC 1918, 6598, 4193, 4291).
_PRIVATE = [
    ip_network(one)
    for one in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("fc00::/7", "fe80::/10"),
    )
]
Specs = Mapping[str, BaseInstance]
Grants = Mapping[str, Mapping[str, BaseGrant]]


def conflicts(parsed: StackFile, specs: Specs, grants: Grants) -> list[Problem]:
    """Every conflict of a file whose single keys are right."""
    problems: list[Problem] = []
    if not specs:
        hint = "add 'postgres: {}' or another engine"
        problems.append(((), "the file has no databases", hint))
    problems += _instances(parsed, specs)
    compose = parsed.target.of(Compose)
    for name in compose.publish if compose else ():
        if name not in specs:
            at = ("target", "compose", "publish", name)
            problems.append((at, f"no instance named {name!r}", None))
    problems += _owners(grants)
    problems += _defaults(parsed, specs, grants)
    problems += _software(specs, grants)
    problems += _cases(specs, grants)
    problems += _pages(parsed, specs)
    problems += _named(parsed, grants)
    problems += _documents(parsed, specs, grants)
    if parsed.vault.kind == "environ":
        problems += _variables(specs, grants)
    return problems


def unkept(stack: Stack) -> list[Problem]:
    """Recovery points that nobody would keep: the agent has to write the log to a store."""
    found: list[Problem] = []
    for name, instance in stack.instances.items():
        if instance.recovery_point == "stream":
            continue
        asked = f"'recovery_point: {instance.recovery_point}'"
        at = (*trail_of(name), "recovery_point")
        if stack.backup is None:
            found.append((at, f"{asked} needs backups", "add 'backup: {}' to the file"))
        elif not instance.managed:
            text = f"{asked} is not possible: what an external server waits for is its operator's"
            found.append((at, text, "remove it"))
        elif not instance.archived and stack.agent is not None:
            text = f"{asked} needs the log, which 'point_in_time: 0s' turns off"
            found.append((at, text, "give 'backup: {keep: {point_in_time: …}}' a time"))
        elif stack.agent is None:
            text = f"{asked} needs the agent, which writes the log to the store"
            found.append((at, text, "write 'agent: true'"))
    return found


def trail_of(name: str) -> Trail:
    """Where an instance stands in the file."""
    return (name,) if name in ENGINE_INFO else ("instances", name)


def _instances(parsed: StackFile, specs: Specs) -> Iterator[Problem]:
    ports = _agent_ports(parsed, specs)
    projects: dict[str, str] = {}
    units: dict[str, str] = {AGENT: "the agent"} if parsed.agent else {}
    for name, spec in specs.items():
        trail = trail_of(name)
        if spec.without_tls is not None and not (spec.target or parsed.target).here:
            text = "'without_tls' is for servers that mngdb runs on this machine"
            yield (*trail, "without_tls"), text, "remove it"
        unit = unit_suffix(name)
        if units.setdefault(unit, name) != name:
            text = f"{name} and {units[unit]} would both be named {parsed.name}-{unit}"
            yield trail, text, "choose another name for the instance"
        external = (spec.target or parsed.target).of(External)
        if spec.adopt and external is None:
            text = "'adopt' is for external servers; mngdb made what is on this one"
            yield (*trail, "adopt"), text, "remove it, or set 'target: {external: {url: …}}'"
        if external is not None:
            yield from _external(trail, spec, external.url)
            continue
        target = spec.target or parsed.target
        info = TARGET_INFO[target.kind]
        if info.engines is not None and spec.engine not in info.engines:
            text = f"target {info.name} does not support {ENGINE_INFO[spec.engine].title}"
            able = " or ".join(f"'{one}: {{target: {info.name}}}'" for one in info.engines)
            hint = f"set it where it is supported: {able}"
            yield (*trail, "target"), text, hint
            continue
        if target.hosted:
            if spec.port == AUTO:
                text = f"the port of {name} is its provider's: 'auto' does not apply"
                yield (*trail, "port"), text, "remove it"
            yield from _together(parsed, name, trail, target, projects)
            continue
        if spec.target and spec.target.settings.model_fields_set:
            text = "the options of a target are set once, for the whole stack"
            yield (*trail, "target"), text, "move them to 'target' at the top level"
        if (spec.target or parsed.target).contained:
            yield from _compose(trail, spec)
            continue
        if spec.port != AUTO and ports.setdefault(spec.port, name) != name:
            text = f"{name} and {ports[spec.port]} both use port {spec.port}"
            yield (*trail, "port"), text, f"give {name} another port"
        yield from _in_clear(parsed, name, spec)


def _in_clear(parsed: StackFile, name: str, spec: BaseInstance) -> Iterator[Problem]:
    """Who listens where others read along: a private network at the most, and for a reason."""
    addresses = [ip_address(one.partition("%")[0]) for one in spec.bind]
    outside = [one for one in addresses if not one.is_loopback]
    if parsed.tls if spec.tls is None else spec.tls:
        if spec.without_tls is not None:
            yield (*trail_of(name), "without_tls"), f"{name} has TLS", "remove 'without_tls'"
        return
    public = [one for one in outside if not any(one in net for net in _PRIVATE)]
    if public:
        text = f"{name} listens beyond loopback without TLS: {public[0]} is not a private address"
        yield (*trail_of(name), "bind"), text, "add 'tls: true'"
    elif outside and spec.without_tls is None:
        text = f"{name} listens beyond loopback without TLS"
        hint = "add 'tls: true', or 'without_tls: REASON' for a private network that you trust"
        yield (*trail_of(name), "bind"), text, hint


def _together(
    parsed: StackFile, name: str, trail: Trail, target: Target, projects: dict[str, str]
) -> Iterator[Problem]:
    """Logins are the project's: two clusters of one stack there would fight for them."""
    atlas = target.of(Atlas)
    project = (atlas.project if atlas else None) or parsed.name
    first = projects.setdefault(project, name)
    if first != name:
        text = f"{first} and {name} are both in the Atlas project {project!r}"
        yield trail, text, f"write 'project:' under 'atlas:' of {name}: logins are the project's"


def _agent_ports(parsed: StackFile, specs: Specs) -> dict[int, str]:
    """The agent's ports and what each is for; those of engines that the file has not are free."""
    if not isinstance(parsed.agent, Agent):
        return {}
    ports = parsed.agent.ports
    here = {ports.of(spec.engine): f"the metrics of {spec.engine}" for spec in specs.values()}
    return {port: of for port, of in (here | {ports.mngdb: "the agent"}).items() if port != AUTO}


def _pages(parsed: StackFile, specs: Specs) -> Iterator[Problem]:
    for name in ("sso", "redisinsight"):
        if name in specs and getattr(parsed, name) is not None:
            text = f"{name!r} is also the key of a page, and the names of their secrets would clash"
            yield trail_of(name), text, "choose another name for the instance"
    page = parsed.redisinsight
    if page is None:
        return
    if parsed.sso is None:
        text = "a page without a login would be open to everybody"
        yield ("redisinsight",), text, "add 'sso: {issuer: https://HOST/realms/NAME}'"
    elif parsed.sso.route and urlsplit(parsed.sso.issuer).port != urlsplit(page.url).port:
        text = "Traefik serves the page and the realm on one port"
        yield ("sso", "issuer"), text, f"write the port of {page.url}"
    if not any(spec.engine == "redis" for spec in specs.values()):
        yield ("redisinsight",), "the file has no Redis to show", "add 'redis: {}'"


def _compose(trail: Trail, spec: BaseInstance) -> Iterator[Problem]:
    if "bind" in spec.model_fields_set:
        text = "a container listens on its own networks; 'bind' does not apply"
        yield (*trail, "bind"), text, "see 'publish' of the target"
    if spec.program != spec.engine:
        text = f"target compose does not support {spec.program}"
        yield (
            (*trail, "server"),
            text,
            f"remove 'server' to run {spec.engine}, or use target local",
        )


def _external(trail: Trail, spec: BaseInstance, url: str) -> Iterator[Problem]:
    if "port" in spec.model_fields_set:
        yield (*trail, "port"), "the port of an external server is in its url", None
    for key in sorted(spec.unapplied() & spec.model_fields_set):
        text = f"{key!r} changes nothing on an external server"
        yield (*trail, key), text, "remove it; its operator configures the server"
    schemes = ENGINE_INFO[spec.engine].schemes
    try:
        parts = urlsplit(url)
        fits = parts.scheme in schemes and bool(parts.netloc.rpartition("@")[2])
    except ValueError:
        fits = False
    if not fits or not url.isprintable() or " " in url:
        at = (*trail, "target", "external", "url")
        yield at, f"a {spec.engine} url is required: {schemes[0]}://admin@host", None


def _software(specs: Specs, grants: Grants) -> Iterator[Problem]:
    """What an app asks for that other apps of the instance would suffer from, and what the software
    of several needs and cannot have together."""
    for name, spec in specs.items():
        here = {app: rights[name] for app, rights in grants.items() if name in rights}
        for app, grant in here.items():
            for key, text, hint in grant.unfit(app, alone=len(here) == 1):
                yield ("apps", app, name, key), text, hint
        for key, text, hint in spec.contradictions(here):
            yield (*trail_of(name), key), text, hint


def _owners(grants: Grants) -> Iterator[Problem]:
    owners: dict[str, list[tuple[str, DatabasesGrant]]] = {}
    for app, rights in grants.items():
        for name, grant in rights.items():
            if not isinstance(grant, DatabasesGrant) or getattr(grant, "access", "") != "owner":
                continue
            for first, other in owners.setdefault(name, []):
                for database in _shared(other, grant):
                    text = f"{first} and {app} both own the database {database!r} of {name}"
                    hint = f"give {app} 'access: readwrite' or its own database"
                    yield ("apps", app, name), text, hint
            owners[name].append((app, grant))


def _shared(one: DatabasesGrant, other: DatabasesGrant) -> Iterator[str]:
    """What two rights both name, as the second does."""
    yield from (name for name in other.names if one.covers(name))
    yield from (name for name in one.names if name not in other.names and other.covers(name))
    for prefix in other.prefixes:
        if any(prefix.startswith(p) or p.startswith(prefix) for p in one.prefixes):
            yield prefix + REST


def _defaults(parsed: StackFile, specs: Specs, grants: Grants) -> Iterator[Problem]:
    """The user `default` of a Redis server is one app's at the most, and decides what is loaded."""
    for name, spec in specs.items():
        apps = [(app, one) for app, rights in grants.items() if (one := rights.get(name))]
        found = [app for app, one in apps if isinstance(one, RedisGrant) and one.default]
        if not found:
            continue
        first, *others = found
        for app in others:
            text = f"{first} and {app} would both be the user 'default' of {name}"
            yield ("apps", app, name, "default"), text, f"give {app} an instance of its own"
        if not (spec.target or parsed.target).managed:
            text = "the user 'default' of an external server is its operator's"
            yield ("apps", first, name, "default"), text, "remove 'default'"
        for app, one in apps:
            if app != first and isinstance(one, RedisGrant) and one.commands:
                text = f"{name} loads its append-only file with the rights of {first}"
                hint = f"remove 'commands', or give {first} an instance of its own"
                yield ("apps", app, name, "commands"), text, hint


def _cases(specs: Specs, grants: Grants) -> Iterator[Problem]:
    """MongoDB refuses a second database whose name differs in case only."""
    seen: dict[tuple[str, str], str] = {}
    for name, spec in specs.items():
        if not isinstance(spec, MongodbInstance):
            continue
        named: list[tuple[Trail, str]] = [
            ((*trail_of(name), "databases", database), database) for database in spec.databases
        ]
        named += [
            (("apps", app, name), database)
            for app, rights in grants.items()
            if isinstance(grant := rights.get(name), DatabasesGrant)
            for database in grant.names
        ]
        for trail, database in named:
            first = seen.setdefault((name, database.lower()), database)
            if first != database:
                text = f"MongoDB cannot keep {first!r} and {database!r} apart"
                yield trail, text, "write the database name in the same case everywhere"


def _named(parsed: StackFile, grants: Grants) -> Iterator[Problem]:
    """Apps that are named outside of `apps`."""
    trails: list[tuple[Trail, str]] = [
        (("jwt", "apps", at), app) for at, app in enumerate(parsed.jwt.apps if parsed.jwt else ())
    ]
    trails += [(("vault", "readers", app), app) for app in parsed.vault.readers]
    for trail, app in trails:
        if app not in grants:
            known = ", ".join(grants) or "none"
            yield trail, f"no app named {app!r}", f"apps in the file: {known}"


def _documents(parsed: StackFile, specs: Specs, grants: Grants) -> Iterator[Problem]:
    """With a secret of AWS for each value, those stand beside what apps read."""
    if not (parsed.vault.aws and parsed.vault.aws.each):
        return
    secrets = {secret_name(name, who) for name in specs for who in ("admin", MONITOR, *grants)}
    for app in grants:
        if app in secrets:
            text = f"what {app} reads would be the same AWS secret as the password {app}"
            yield ("apps", app), text, "use another name, or 'each: false'"


def _variables(specs: Specs, grants: Grants) -> Iterator[Problem]:
    """In the environment, - and _ are the same: two secrets must not share one variable."""
    seen: dict[str, str] = {}
    wanted = [
        (secret_name(name, login), trail_of(name)) for name in specs for login in ("admin", MONITOR)
    ]
    for app, rights in grants.items():
        wanted += [(secret_name(name, app), ("apps", app, name)) for name in rights]
    for secret, trail in wanted:
        variable = re.sub(r"[^A-Z0-9]", "_", secret.upper())
        first = seen.setdefault(variable, secret)
        if first != secret:
            text = f"the secrets {first} and {secret} would be the same variable, {variable}"
            yield trail, text, "use other names, or 'vault: files'"
