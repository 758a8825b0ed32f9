"""What every model of the file shares, and the keys that every instance has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mngdb.spec.engine_info import EngineName as EngineName
from mngdb.spec.strict import Model as Model
from mngdb.spec.target import Target
from mngdb.spec.units import Memory

#: What `port: auto` is until the stack is opened (mngdb.spec.ports): no port.
AUTO = 0


def _auto(value: Any, number: ValidatorFunctionWrapHandler) -> int:
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError("has to be a port number or 'auto'")
    return AUTO if value == "auto" else cast(int, number(value))


Port = Annotated[int, Field(ge=1, le=65535)]
#: A port that mngdb may choose.
PortOrAuto = Annotated[
    Port,
    WrapValidator(_auto),
    PlainSerializer(lambda port: port or "auto", when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"enum": ["auto"]}]}
    ),
]
#: Whether commits wait until the store has them: not at all, up to a few seconds, or for ever.
RecoveryPoint = Literal["stream", "sync", "strict"]
#: Whether logical snapshots of an instance are taken besides the others, or alone.
Logical = bool | Literal["only"]


def located(text: str, *at: str | int) -> PydanticCustomError:
    """An error of a part below the model that raises it: its place is that part's."""
    return PydanticCustomError("located", "{text}", {"text": text, "at": at})


def _one_line(value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > 200:
        raise ValueError("write it in one line of at most 200 characters")
    return value


#: A text for people.
OneLine = Annotated[str, AfterValidator(_one_line)]


def _text(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(getattr(value, "text", value))  # 17.10 is not 17.1
    return value


def _version(value: str) -> str:
    if not re.fullmatch(_VERSION, value):
        raise ValueError(f"{value[:40]!r} is not a version; write 17 or 17.6")
    return value


def _bind(value: str) -> str:
    try:
        address = ip_address(value)
    except ValueError:
        raise ValueError(f"{value[:40]!r} is not an IP address") from None
    if not re.fullmatch(r"[0-9a-fA-F:.]+(%[A-Za-z0-9_.-]{1,15})?", value):
        raise ValueError(f"{value[:40]!r} is not an IP address")  # a zone may hold anything
    if address.is_unspecified:
        raise ValueError(
            f"{value} exposes the server to every network; set the address to listen on"
        )
    return str(address)


_VERSION = r"[0-9]{1,4}(\.[0-9]{1,4}){0,2}"
Version = Annotated[
    str,
    AfterValidator(_version),
    BeforeValidator(_text),
    Field(json_schema_extra={"type": ["string", "number"], "pattern": f"^{_VERSION}$"}),
]
Bind = Annotated[str, AfterValidator(_bind)]
#: A server's own setting, as its configuration file takes it.
SettingValue = Annotated[
    str,
    BeforeValidator(lambda v: _setting(v)),
    Field(json_schema_extra={"type": ["string", "number", "boolean"]}),
]


def _setting(value: object) -> object:
    if isinstance(value, bool):
        return "on" if value else "off"
    value = _text(value)
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("a setting's value has to be one line of printable text")
    return value


class BaseInstance(Model):
    """The keys that instances of every engine have."""

    #: Settings that mngdb itself sets from other keys, with the key to use instead. A name that
    #: ends with a point stands for all that begin with it.
    reserved_settings: ClassVar[dict[str, str]] = {}

    if TYPE_CHECKING:
        engine: EngineName  # every kind of instance has the key, with one value of its own

    @property
    def program(self) -> str:
        """Which server of the engine it is: the key of `binaries`."""
        return self.engine

    @property
    def clients(self) -> int:
        """Maximum number of connections."""
        return int(getattr(self, "max_connections"))  # noqa: B009 - most kinds have the key

    @property
    def files(self) -> int:
        """Open files that it needs."""
        return self.clients + 32

    @property
    def tasks(self) -> int:
        """Processes or threads that it has for clients."""
        return self.clients

    @property
    def backlog(self) -> int:
        """Connections that wait to be taken, at the most; as glibc's SOMAXCONN, if nothing says."""
        return 4096

    @property
    def promised(self) -> RecoveryPoint:
        """Whether commits wait until the store has them."""
        return cast(RecoveryPoint, getattr(self, "recovery_point", "stream"))

    @property
    def dumped(self) -> Logical | None:
        """Whether logical snapshots are taken of it; None: as of the others."""
        return cast("Logical | None", getattr(self, "logical", None))

    target: Target | None = None
    """Target of this instance. Default: the stack's target."""
    adopt: bool | None = None
    """Whether what is on an external server already is kept: logins with their passwords, rights,
    owners. Missing rights are granted, none is revoked. Default: the stack's `adopt`."""
    version: Version | None = None
    """Required version, major (17) or exact (17.6); the installed version is compared with it."""
    port: PortOrAuto
    """TCP port to listen on. `auto`: the first `mngdb up` takes the engine's default port, or the
    next that is free, and remembers it until `mngdb destroy`."""
    bind: list[Bind] = Field(default=["127.0.0.1"], min_length=1, max_length=8)
    """Addresses to listen on. Addresses other than loopback require `tls: true`, or for private
    ones a reason in `without_tls`."""
    tls: bool | None = None
    """Encrypt connections, with certificates of the stack's CA. Default: the stack's `tls`."""
    without_tls: OneLine | None = None
    """Why a private address of `bind` is served without TLS: "only the VPC's security group gets
    there". `mngdb check` reports it all the same. Public addresses require TLS in any case."""
    memory: Memory | None = None
    """Memory for the server's cache, as a share of the available memory (container limits count) or
    as a size. Default: 15% for PostgreSQL, 25% for MongoDB, 70% of the rest for Redis."""
    settings: dict[str, SettingValue] = Field(default_factory=dict)
    """Settings of the server, overriding the defaults that `mngdb config` shows."""

    def serving(self, rights: Mapping[str, BaseGrant]) -> Self:
        """The same with what the software of its apps needs; `rights` by app."""
        return self

    def unapplied(self) -> set[str]:
        """The keys that change nothing on a server of others."""
        return {"memory"}

    def contradictions(self, rights: Mapping[str, BaseGrant]) -> Iterable[tuple[str, str, str]]:
        """What the software of its apps needs and cannot have together: key, sentence, hint."""
        return ()

    @model_validator(mode="after")
    def _settings_are_free(self) -> BaseInstance:
        for name in self.settings:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", name):
                raise located(f"{name[:40]!r} is not the name of a setting", "settings", name)
            for key, why in self.reserved_settings.items():
                low, begin = name.lower(), key.lower()
                if low == begin or (begin.endswith(".") and low.startswith(begin)):
                    text = f"the setting {name!r} is derived from {why}"
                    raise located(text, "settings", name)
        return self


class BaseGrant(Model):
    """An app's right in an instance."""

    def resolved(self, *, alone: bool) -> Self:
        """The same with everything that its software needs. `alone`: on a server of ours that no
        other app uses."""
        return self

    def unfit(self, app: str, *, alone: bool) -> Iterable[tuple[str, str, str]]:
        """What cannot be where other apps are, if it is not alone: key, sentence, hint."""
        return ()

    def among(self, instance: Any) -> Self:
        """The same for one of several apps that share `instance`, a server of ours."""
        return self
