"""The variables by which an app reaches its databases, and the keys that it signs tokens with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from mngdb.dotenv import quoted
from mngdb.errors import UsageError
from mngdb.model import DesiredInstance, Told
from mngdb.ops.context import Context
from mngdb.secret import Secret, generate
from mngdb.spec.app import AppEnv, check_drivers, driver_of
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.jwt import CURRENT, PREVIOUS
from mngdb.spec.several import DATABASE, DatabasesGrant
from mngdb.spec.stack import Instance
from mngdb.spec.vault import FAIL_OPEN, JWT, NAME, REGION, USE, document_name, settled


def env(
    context: Context, app: str, *, published: bool = False, drivers: Sequence[str] = ()
) -> dict[str, str]:
    """Every variable that an app needs, for all the instances that it uses. `published`: the app is
    no container, and comes to those in containers by their published ports. `drivers`: whose
    dialect they are in; none: those of the file. Raises UsageError."""
    for instance in context.app(app):
        context.secret(instance, app)  # missing is an error here
    return variables(context, app, published=published, drivers=drivers)


def variables(
    context: Context,
    app: str,
    instead: Secret | None = None,
    *,
    published: bool = False,
    drivers: Sequence[str] = (),
) -> dict[str, str]:
    """As `env`; made-up secrets stand where there are none, and `instead` in place of all."""
    instances = context.app(app)
    wanted = context.stack.keys[app].env
    drivers = drivers or wanted.for_
    try:
        check_drivers(app, drivers, {instance.engine for instance in instances})
    except ValueError as error:
        raise UsageError(str(error)) from None
    found: dict[str, str] = {}
    for instance in instances:
        asked = _asked(context, instance, app, instead)
        if published:
            asked = _published(asked)
        access, grant = context.public(asked, app), instance.grants[app]
        tell, driver = context.engine(instance).tell, driver_of(drivers, instance.engine)
        told = tell(access, asked, app, driver)
        further = grant.others() if isinstance(grant, DatabasesGrant) else {}
        others = {
            suffix: tell(replace(access, database=name), asked, app, driver)
            for suffix, name in further.items()
        }
        alone = sum(one.engine == instance.engine for one in instances) == 1
        for name, value in _named(instance, told, wanted, alone, others).items():
            if found.setdefault(name, value) != value:
                raise UsageError(
                    f"two servers of {app} would have different values of {name}",
                    f"'apps: {{{app}: {{env: …}}}}' in the file names variables: "
                    "docs/connecting.md",
                )
    return found | signing(context, app, instead)


def _asked(
    context: Context, instance: Instance, app: str, instead: Secret | None
) -> DesiredInstance:
    if instead is None:
        return context.as_login(instance, app, invent=True)
    site = context.target(instance).site(instance, find=False)
    logins = dict.fromkeys(context.logins(instance), instead)
    return DesiredInstance(context.stack.name, instance, logins, site)


def _named(
    instance: Instance, told: Told, wanted: AppEnv, alone: bool, others: Mapping[str, Told]
) -> dict[str, str]:
    """The variables of one instance by the names that the file gives them, else by the usual ones.
    A framework's names stand as they are for the default instance, and for one that is `alone`.
    `others`: the same for further databases, by what their variables end in."""
    prefix = wanted.prefix_of(instance.name)
    own = wanted.own(instance.name)
    url = ENGINE_INFO[instance.engine].parts[0]
    parts = {**told.parts, **{f"{url}.{o.parts[DATABASE]}": o.parts[url] for o in others.values()}}
    found = {name: parts[part or url] for name, part in own.items() if (part or url) in parts}
    if own and prefix is None:
        return found | dict(told.process)
    usual = prefix or f"{_prefix(instance.name)}_"
    if told.own is None:
        found |= {f"{usual}{part.upper()}": value for part, value in told.parts.items()}
        found |= {
            f"{usual}{part.upper()}_{suffix}": other.parts[part]
            for suffix, other in others.items()
            for part in (DATABASE, url)
        }
    else:
        first = prefix is None and (alone or instance.name in ENGINE_INFO)
        start = "" if first else usual
        found |= {start + name: value for name, value in told.own.items()}
        found |= {
            f"{start}{name}_{suffix}": value
            for suffix, other in others.items()
            for name, value in (other.own or {}).items()
            if value != told.own.get(name)
        }
    return found | dict(told.process)


def signing(context: Context, app: str, instead: Secret | None = None) -> dict[str, str]:
    """The keys of an app that signs or verifies tokens, as `variables` gives them. The previous one
    is among them as long as it is kept."""
    spec = context.stack.source.jwt
    if spec is None or app not in {JWT, *spec.apps}:
        return {}
    if instead is not None:
        return {"JWT_CURRENT": instead.reveal()}
    entries = context.vault.get_many([CURRENT, PREVIOUS])
    found = {name: secret for name, one in entries.items() if (secret := one.usable()) is not None}
    current = found.get(CURRENT) or generate()
    changed = entries[CURRENT].changed if CURRENT in entries else None
    keys = {"JWT_CURRENT": current.reveal()}
    kept = changed is None or time.time() - changed < spec.keep.total_seconds()
    if kept and PREVIOUS in found:
        keys["JWT_PREVIOUS"] = found[PREVIOUS].reveal()
    return keys


def _prefix(instance: str) -> str:
    """What an instance's variables begin with."""
    if instance in ENGINE_INFO:
        return ENGINE_INFO[instance].variables
    return instance.upper().replace("-", "_")


def _published(asked: DesiredInstance) -> DesiredInstance:
    """An instance by the port that its container publishes, with the CA as this machine has it.
    Raises UsageError where it publishes none."""
    instance, site = asked.instance, asked.site
    if not instance.contained or site is None:
        return asked
    where = instance.published
    if where is None:
        entry = f"{instance.name}: '127.0.0.1:{instance.spec.port}'"
        raise UsageError(
            f"{instance.name} publishes no port",
            f"target: {{compose: {{publish: {{{entry}}}}}}} in the file, then mngdb up",
        )
    host, _, port = where.rpartition(":")
    tls = replace(site.tls, ca=site.ca) if site.tls else None
    return replace(asked, site=replace(site, host=host.strip("[]"), port=int(port), tls=tls))


def source(context: Context, app: str) -> dict[str, str]:
    """The variables by which `mngdb.client` finds what is published for an app. Raises UsageError
    where nothing is."""
    context.app(app)
    for path in context.vault.documents([app]):
        return {"MNGDB_SETTINGS": str(path)}
    aws = settled(context.stack.source.vault, context.environ).aws
    if aws is None or aws.name is None:
        raise UsageError(
            "the vault 'environ' publishes nothing: mngdb.client reads the environment itself",
            f"mngdb env {app}",
        )
    return {
        USE: "true",
        **({REGION: aws.region} if aws.region else {}),
        NAME: document_name(aws.name, app),
        FAIL_OPEN: "true" if aws.fail_open else "false",
    }


def dotenv(name: str, value: str) -> str:
    """`NAME=value` so that a shell and dotenv readers take the same value. Raises UsageError for
    the rare value that no common form holds."""
    text = quoted(value)
    if text is None:
        raise UsageError(
            f"the value of {name} has quotes that shells and dotenv readers take differently",
            "use 'mngdb env APP --json', or another secret",
        )
    return f"{name}={text}"


def env_file(name: str, value: str) -> str:
    """`NAME=value` as `docker run --env-file` takes it: every character after the sign is the
    value's. Raises UsageError for the rare value that such a line cannot hold."""
    if set(value) & set("\n\r\0"):
        raise UsageError(
            f"the value of {name} has more than one line, which --env-file cannot hold",
            "give the variable to the container by another way: 'mngdb env APP --json'",
        )
    return f"{name}={value}"
