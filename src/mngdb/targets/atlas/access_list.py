"""The IP access list: the file's addresses, and of what is there only what this stack made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from mngdb.errors import UsageError
from mngdb.model import Notice
from mngdb.spec.atlas import MOST_ENTRIES, AccessEntry, network
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.session import AtlasStep, Found, Make, Session, Wanted, take_over

_PREFIX = "mngdb"
#: Seconds by which Atlas may round the end of an entry.
_CLOSE = 60.0
#: How far ahead Atlas takes the end of an entry: a week, of which clocks may want a little.
_AHEAD = timedelta(days=7) - timedelta(minutes=5)


def place(entry: Json) -> str:
    """The addresses of an entry that was found; empty: it is a security group."""
    text = str(entry.get("cidrBlock") or entry.get("ipAddress") or "")
    return str(network(text)) if text else ""


def mark(wanted: Wanted) -> str:
    """What the comments of our entries begin with."""
    return f"{_PREFIX} {wanted.mark}"


def ours(wanted: Wanted, entry: Json) -> bool:
    """Whether this stack made it."""
    first, _, rest = str(entry.get("comment") or "").partition(" ")
    return first == _PREFIX and wanted.ours(rest.partition(":")[0])


def entries(wanted: Wanted) -> list[AccessEntry]:
    """Those of the file, and the peered VPC: also who comes by peering has to be in the list."""
    peering = wanted.spec.peering
    peered = [AccessEntry(cidr=peering.vpc_cidr, comment="the peered VPC")] if peering else []
    known = {str(one.network) for one in wanted.spec.access}
    return [*wanted.spec.access, *(one for one in peered if str(one.network) not in known)]


def steps(wanted: Wanted, found: Found, make: Make) -> Iterator[AtlasStep]:
    """New entries first: an address whose entry changes is not without one for a moment."""
    there = {place(one): one for one in found.access}
    now = datetime.now(tz=UTC)
    asked = {
        str(entry.network): entry
        for entry in entries(wanted)
        if entry.until is None or _moment(entry.until) > now
    }
    for name, entry in asked.items():
        old = there.get(name)
        if old is None:
            yield make("create", f"access {name}", _says(entry), _put(wanted, entry))
        elif not ours(wanted, old):
            if not wanted.allows(f"access {name}"):
                yield from _consent(name, old, entry, make)
            else:
                yield make("change", f"access {name}", _says(entry), _put(wanted, entry, old))
        elif _differs(wanted, old, entry):
            yield make("change", f"access {name}", _says(entry), _put(wanted, entry, old))
    for name, old in there.items():
        if name and name not in asked and ours(wanted, old):
            yield make("revoke", f"access {name}", "it is not in the file", _remove(name))


def preflight(wanted: Wanted, found: Found) -> None:
    """Raise UsageError where the project's list would be too long."""
    there = {place(one) for one in found.access}
    more = {str(one.network) for one in entries(wanted)}
    if len(there | more) > MOST_ENTRIES:
        raise UsageError(
            f"{wanted.known}: the access list would have {len(there | more)} entries; Atlas takes "
            f"{MOST_ENTRIES}",
            "remove entries that others made (Atlas: Network Access), or join addresses",
        )


def notices(wanted: Wanted, found: Found) -> Iterator[Notice]:
    """Entries that nobody in the file asks for, and public ones beside a private way."""
    asked = {str(one.network) for one in entries(wanted)}
    private = wanted.spec.private_link is not None or wanted.spec.peering is not None
    for entry in found.access:
        name = place(entry)
        if name and name not in asked and not ours(wanted, entry):
            text = f"access {name} is not in the file ({entry.get('comment') or 'no comment'})"
            yield Notice(wanted.known, text, "delete it in Atlas: Network Access")
    for one in wanted.spec.access:
        if private and not one.network.is_private:
            text = f"access {one.network} is public, though the cluster has a private way"
            yield Notice(wanted.known, text, "remove the entry from the file")
        if one.until is not None and _moment(one.until) <= datetime.now(tz=UTC):
            text = f"access {one.network} ended at {one.until}"
            yield Notice(wanted.known, text, "remove the entry from the file")


def _consent(name: str, old: Json, entry: AccessEntry, make: Make) -> Iterator[AtlasStep]:
    """What others made serves as well, as long as it does what the file says."""
    ends = str(old.get("deleteAfterDate") or "")
    if ends != "" or entry.until is not None:
        yield take_over(make, f"access {name}", "an entry")


def _says(entry: AccessEntry) -> str:
    until = f"until {entry.until}" if entry.until else ""
    return ", ".join(one for one in (entry.comment, until) if one) or "may connect"


def _comment(wanted: Wanted, entry: AccessEntry) -> str:
    return f"{mark(wanted)}: {entry.comment}".removesuffix(": ")[:80]


def _differs(wanted: Wanted, old: Json, entry: AccessEntry) -> bool:
    if old.get("comment") != _comment(wanted, entry):
        return True
    ends, end = old.get("deleteAfterDate"), _end(entry)
    if not ends or end is None:
        return bool(ends) != (end is not None)
    return abs((_moment(str(ends)) - _moment(end)).total_seconds()) > _CLOSE


def _end(entry: AccessEntry) -> str | None:
    """When Atlas itself is to remove it. One that ends later than a week from now gets its end by
    an 'up' of its last week, or is removed by the first one after it."""
    if entry.until is None or _moment(entry.until) - datetime.now(tz=UTC) > _AHEAD:
        return None
    return entry.until


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _put(wanted: Wanted, entry: AccessEntry, old: Json | None = None) -> Callable[[Session], None]:
    """Atlas changes an entry that is posted again; only an end is not taken back so."""

    def run(session: Session) -> None:
        body: Json = {"cidrBlock": str(entry.network), "comment": _comment(wanted, entry)}
        end = _end(entry)
        if end is not None:
            body["deleteAfterDate"] = end
        if old is not None and old.get("deleteAfterDate") and end is None:
            session.api.delete(*session.group("accessList", str(entry.network)))
        session.api.put_entries([body], *session.group("accessList"))

    return run


def _remove(name: str) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.api.delete(*session.group("accessList", name))

    return run
