"""One record per target. Nothing is imported here."""

from __future__ import annotations

from msgspec import Struct


class TargetInfo(Struct, frozen=True):
    """A target, as far as it is known without opening it."""

    name: str
    """Its key in the file."""
    what: str
    """What it is, for a comment in the file."""
    here: bool = False
    """Whether servers are processes of this machine: programs that pip can bring."""
    contained: bool = False
    """Whether servers are reached by name, in networks of their own."""
    managed: bool = True
    """Whether servers are ours: a whole stack can live there."""
    hosted: bool = False
    """Whether servers are made for us by a provider, who runs them: their logins, backups and
    alerts are his, made through his interface."""
    engines: frozenset[str] | None = None
    """The engines that can live there; None: all."""
    secrets: tuple[str, ...] = ()
    """The vault's names of what opens the provider's interface, where they are there."""


TARGET_INFO: dict[str, TargetInfo] = {
    info.name: info
    for info in (
        TargetInfo("local", "processes on this machine, on loopback only", here=True),
        TargetInfo("compose", "containers of a Docker engine, no port published", contained=True),
        TargetInfo("external", "an existing server that mngdb does not run", managed=False),
        TargetInfo(
            "atlas",
            "a cluster of MongoDB Atlas, on AWS",
            managed=False,
            hosted=True,
            engines=frozenset({"mongodb"}),
            secrets=(
                "atlas_client-id",
                "atlas_client-secret",
                "atlas_public-key",
                "atlas_private-key",
            ),
        ),
    )
}
#: What a stack is called, and where it lives, when nobody says.
DEFAULT_STACK = "mng"
DEFAULT_TARGET = "local"


def for_stacks() -> list[str]:
    """Those that a command may name for the whole stack, or for what can live there of it."""
    return [info.name for info in TARGET_INFO.values() if info.managed or info.hosted]
