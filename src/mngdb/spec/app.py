"""What the file says of an app besides its rights: the variables that it reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from mngdb.spec.base import BaseGrant, BaseInstance, Model, located
from mngdb.spec.driver_names import unknown_driver
from mngdb.spec.engine_info import DRIVERS, ENGINE_INFO
from mngdb.spec.names import InstanceName
from mngdb.spec.problems import Problem, near
from mngdb.spec.several import DatabasesGrant

#: What a variable may be called.
VARIABLE = "[A-Z_][A-Z0-9_]{0,99}"
#: Those by which programs are found and started: a shell that reads them would have no commands.
_PROCESS = re.compile(
    "PATH|HOME|IFS|ENV|BASH_ENV|SHELL|USER|LOGNAME|PWD|TERM|LANG|LC_.*|LD_.*|DYLD_.*"
    "|PYTHON(PATH|HOME|STARTUP)|NODE_(OPTIONS|PATH)|JAVA_TOOL_OPTIONS|RUBYOPT|PERL5(LIB|OPT)"
)


def _driver(value: str) -> str:
    if value not in DRIVERS:
        raise ValueError(unknown_driver(value, DRIVERS))
    return value


def _prefix(value: str) -> str:
    if not re.fullmatch(VARIABLE, value):
        raise ValueError(f"{value[:40]!r} is not the start of a variable; write DB_")
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(VARIABLE, value):
        raise ValueError(f"{value[:40]!r} is not a variable; use A-Z, 0-9 and _")
    if _PROCESS.fullmatch(value):
        raise ValueError(f"{value} is a variable of the shell or of programs; choose another name")
    return value


Driver = Annotated[str, AfterValidator(_driver), Field(json_schema_extra={"enum": list(DRIVERS)})]
Prefix = Annotated[
    str, AfterValidator(_prefix), Field(json_schema_extra={"pattern": f"^{VARIABLE}$"})
]
VariableName = Annotated[
    str, AfterValidator(_variable), Field(json_schema_extra={"pattern": f"^{VARIABLE}$"})
]


class AppEnv(Model):
    """The variables that an app reads (`mngdb env APP`, docs/connecting.md). Variables of its own
    may stand here, too: `DATABASE_URL: postgres`."""

    for_: list[Driver] = Field(default_factory=list, alias="for")
    """Drivers or frameworks that the variables are for, one or a list: `django`, `[jdbc, lettuce]`.
    Default: URLs as libpq, redis-py and pymongo read them."""
    prefix: Prefix | dict[InstanceName, Prefix] | None = None
    """What the names begin with, in place of `POSTGRES_`, `REDIS_`, `MONGO_` or the instance's
    name: `DB_`; of several instances by name: `{postgres: DB_, redis: CACHE_}`."""
    names: dict[VariableName, str] = Field(default_factory=dict)
    """Variables of the app's own, each with what it holds: an instance, for its URL, or a part of
    it (`postgres.password`), or another of the app's databases (`postgres.url.shop_test`). An
    instance that is named here has no other variables, unless it has a prefix."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """Variables may stand beside the other keys."""
        if isinstance(value, str) and value in DRIVERS:
            raise ValueError(f"has to be a mapping of keys: {{for: {value}}}")
        if not isinstance(value, dict):
            return value
        for key in value:
            if isinstance(key, str) and key.islower() and "_" in key:
                raise located(f"variables are written in capitals: {key.upper()}", key)
        own = {k: v for k, v in value.items() if isinstance(k, str) and re.fullmatch(VARIABLE, k)}
        if not own:
            return value
        rest = {k: v for k, v in value.items() if k not in own}
        names = rest.get("names") or {}
        return rest | {"names": {**names, **own} if isinstance(names, dict) else names}

    @field_validator("for_", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def prefix_of(self, instance: str) -> str | None:
        """What the file says that an instance's variables begin with."""
        return self.prefix.get(instance) if isinstance(self.prefix, dict) else self.prefix

    def own(self, instance: str) -> dict[str, str]:
        """The app's own variables that hold something of an instance, and its part: `password`;
        empty: the URL."""
        parted = {name: held.partition(".") for name, held in self.names.items()}
        return {name: part for name, (one, _, part) in parted.items() if one == instance}


class AppKeys(Model):
    """The keys of an app that are no instances."""

    env: AppEnv = Field(default_factory=AppEnv)
    """The variables that the app reads."""

    @field_validator("env", mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        return {} if value is None else value


def driver_of(drivers: Sequence[str], engine: str) -> str:
    """The one of the drivers that is for an engine; empty: none. Raises ValueError."""
    found = [one for one in drivers if one in ENGINE_INFO[engine].drivers]
    if len(found) > 1:
        raise ValueError(f"{found[0]} and {found[1]} are both for {ENGINE_INFO[engine].title}")
    return found[0] if found else ""


def check_drivers(app: str, drivers: Sequence[str], engines: Collection[str]) -> None:
    """Raise ValueError for a driver of none of the engines that an app uses, and for two of one."""
    for one in drivers:
        able = [info.title for info in ENGINE_INFO.values() if one in info.drivers]
        if not any(one in ENGINE_INFO[engine].drivers for engine in engines):
            raise ValueError(f"{one} is for {' and '.join(able)}, which {app} does not use")
    for engine in engines:
        driver_of(drivers, engine)


def _parts(spec: BaseInstance, grant: BaseGrant | None) -> list[str]:
    """What a variable of an app's own may hold of an instance."""
    parts = ENGINE_INFO[spec.engine].parts
    names = grant.names[1:] if isinstance(grant, DatabasesGrant) else ()
    return [*parts, *(f"{parts[0]}.{name}" for name in names)]


def check_app_keys(
    app: str, keys: AppKeys, specs: Mapping[str, BaseInstance], rights: Mapping[str, BaseGrant]
) -> Iterator[Problem]:
    """What an app's keys say of instances that it does not use, or of parts that they have not.
    `specs`: those that it uses; `rights`: its rights there."""
    env, trail = keys.env, ("apps", app, "env")
    try:
        check_drivers(app, env.for_, {spec.engine for spec in specs.values()})
    except ValueError as error:
        yield (*trail, "for"), str(error), None
    by_instance = env.prefix if isinstance(env.prefix, dict) else {}
    for name in by_instance:
        if name not in specs:
            yield (*trail, "prefix", name), f"{app} does not use {name}", None
    if isinstance(env.prefix, str) and len(specs) > 1:
        write = ", ".join(f"{name}: {name.upper().replace('-', '_')}_" for name in specs)
        text = f"{app} uses several instances, whose variables would have the same names"
        yield (*trail, "prefix"), text, f"write prefix: {{{write}}}"
    if len(set(by_instance.values())) < len(by_instance):
        yield (*trail, "prefix"), "two instances have the same prefix", None
    for variable, held in env.names.items():
        name, dot, part = held.partition(".")
        at = (*trail, variable)
        if name not in specs:
            yield at, f"{app} does not use {name[:40]!r}{near(name, [*specs])}", None
        elif dot and part not in (parts := _parts(specs[name], rights.get(name))):
            yield at, f"{name} has no {part[:40]!r}{near(part, parts)}", None
