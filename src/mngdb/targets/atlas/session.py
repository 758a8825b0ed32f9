"""What the steps of one cluster work on, and what was found there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from mngdb.errors import UsageError
from mngdb.model import Action, DesiredInstance, Step
from mngdb.secret import Secret
from mngdb.spec.alerts import Alerts
from mngdb.spec.atlas import Atlas
from mngdb.spec.file import Backup
from mngdb.targets.atlas.api import Api, Json
from mngdb.targets.atlas.journal import Journal

if TYPE_CHECKING:
    from mngdb.targets.atlas.aws import Aws

#: The administrator that mngdb makes and logs in as.
ADMIN = "mngdb-admin"
#: The key of the tag, or of the label, that names whose something is.
MARK = "mngdb-stack"
#: The journal's notes of clusters beside a live one: their names to its.
BESIDE = "beside"
#: What a cluster runs where the file names no version.
_VERSION = "8.0"


class Wanted(Struct, frozen=True):
    """What the file says of one cluster, with every default filled in."""

    asked: DesiredInstance
    spec: Atlas
    project: str
    named: bool
    """Whether the file names the project: then one that is there already may be used."""
    cluster: str
    region: str
    mark: str
    """Name and id of the stack: what is made carries it."""
    backup: Backup
    alerts: Alerts
    secrets: Mapping[str, Secret]
    """Those of the alerts' channels, by the vault's names."""

    @property
    def version(self) -> str:
        """Major version: `8.0`."""
        parts = (self.asked.version or _VERSION).split(".")
        return ".".join([*parts, "0"][:2])

    @property
    def known(self) -> str:
        """What people call the cluster: the instance's name."""
        return self.asked.instance.name

    def allows(self, name: str) -> bool:
        """Whether the command names something that is not the stack's."""
        return name in self.asked.allow

    def ours(self, mark: str | None) -> bool:
        """Whether a mark is that of this stack, whatever its name was then."""
        return mark is not None and mark.rpartition("/")[2] == self.mark.rpartition("/")[2]


class Found(Struct):
    """What there is, as the API tells it; None and empty: nothing, or nobody asked."""

    project: Json | None = None
    cluster: Json | None = None
    users: list[Json] = []
    roles: list[Json] = []
    access: list[Json] = []
    schedule: Json | None = None
    alerts: list[Json] = []
    containers: list[Json] = []
    peers: list[Json] = []
    services: list[Json] = []
    endpoint: Json | None = None
    """Our interface endpoint, as Atlas sees it."""
    interface: dict[str, Any] | None = None
    """The same, as AWS sees it."""
    routes: dict[str, str] = {}
    """Route table to what leads to the cluster's network; empty: nothing."""
    blocks: list[str] = []
    """CIDR blocks of the peered VPC."""
    private_dns: bool | None = None
    """Whether the VPC resolves names to private addresses; None: there is no private way."""


@dataclass
class Session:
    """One cluster's work: the API, and what later steps need of earlier ones."""

    api: Api
    wanted: Wanted
    journal: Journal
    tell: Callable[[str, bool, str], None]
    """Told of a wait: the text, whether people shall see it, and the state."""
    project: str = ""
    """The project's id, once it is there."""
    environ: Mapping[str, str] = field(default_factory=dict)
    pace: float = 1.0
    """Multiplies the pauses between two looks."""

    def group(self, *parts: str) -> tuple[str, ...]:
        """A path below the project."""
        if not self.project:
            raise UsageError(f"the Atlas project {self.wanted.project} is missing", "mngdb up")
        return ("groups", self.project, *parts)

    def aws(self, region: str = "") -> Aws:
        """EC2 in a region, in Atlas' spelling. Default: the cluster's. Raises UsageError."""
        from mngdb.targets.atlas.aws import Aws, spelled

        return Aws(spelled(region or self.wanted.region), self.wanted.mark, self.environ)

    def cluster(self, *parts: str) -> tuple[str, ...]:
        """A path below the cluster."""
        return self.group("clusters", self.wanted.cluster, *parts)


class Make(Protocol):
    """Makes a step of one cluster."""

    def __call__(
        self,
        action: Action,
        name: str,
        detail: str,
        run: Callable[[Session], None],
        *,
        destructive: bool = False,
        costs: str = "",
    ) -> AtlasStep: ...


AtlasStep: TypeAlias = Step[Session]


def maker(wanted: Wanted) -> Make:
    """Steps of this cluster's instance."""
    instance = wanted.asked.instance
    return partial(Step, instance.name, instance.engine)


def take_over(make: Make, name: str, what: str) -> AtlasStep:
    """Asks for consent to change what this stack did not make; does nothing itself."""
    text = f"take over {what} that this stack did not create"
    return make("change", name, text, lambda _: None, destructive=True)


def marks(entries: Any) -> dict[str, str]:
    """Tags or labels by their keys."""
    return {str(one.get("key")): str(one.get("value")) for one in entries or ()}


def marked(entries: Any, mark: str) -> list[Json]:
    """Tags or labels with the stack's mark; those of others stay."""
    others = [one for one in entries or () if one.get("key") != MARK]
    return [*others, {"key": MARK, "value": mark}]
