"""The extensions that a program brings, told before it is started."""

from __future__ import annotations

from pathlib import Path

from mngdb.errors import UsageError
from mngdb.model import DesiredInstance, Program
from mngdb.spec.postgres import PostgresGrant


def need_extensions(asked: DesiredInstance) -> None:
    """Raises UsageError for an extension of the file that the program does not have; where its
    files are not found, only the server can tell."""
    there = _extensions(asked.site.program) if asked.site else None
    if there is None:
        return
    for app, grant in asked.instance.granted(PostgresGrant).items():
        for name in grant.extensions:
            if name not in there:
                raise UsageError(
                    f"app {app}: {asked.instance.name} has no extension {name!r}, which its "
                    "program does not bring",
                    "install the package that has it, set another program under 'binaries:', or "
                    "remove it",
                )


def _extensions(program: Program) -> frozenset[str] | None:
    if not program.folder:
        return None
    root = Path(program.folder).parent
    places = (
        root / "share/extension",
        root / "share/postgresql/extension",
        Path("/usr/share/postgresql", root.name, "extension"),  # Debian's
    )
    found = next((place for place in places if place.is_dir()), None)
    return None if found is None else frozenset(one.stem for one in found.glob("*.control"))
