"""Indexes: what the file asks for against what listIndexes gives, and the steps between.

https://www.mongodb.com/docs/manual/reference/command/createIndexes/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mngdb.engines.mongodb.duplicates import explain, require_unique
from mngdb.engines.mongodb.facts import Facts, FoundIndex
from mngdb.engines.mongodb.render import spec_of
from mngdb.errors import StepError
from mngdb.model import DesiredInstance, Step, about
from mngdb.spec.mongodb import Index, MongodbGrant

if TYPE_CHECKING:
    from mngdb.engines.mongodb.client import Session
    from mngdb.engines.mongodb.users import Make

#: Options that the server adds by itself or that do not change what an index holds.
_OWN = frozenset(
    {
        "v",
        "key",
        "name",
        "ns",
        "background",
        "weights",
        "default_language",
        "language_override",
        "textIndexVersion",
        "2dsphereIndexVersion",
        "bits",
        "min",
        "max",
        "unique",
        "sparse",
        "expireAfterSeconds",
        "partialFilterExpression",
    }
)
Options = dict[str, Any]


def label(database: str, collection: str, name: str) -> str:
    """How steps, `--allow` and the record of earlier runs name an index."""
    return f"{database}.{collection}.{name}"


def wanted(asked: DesiredInstance) -> dict[tuple[str, str], list[Index]]:
    """Database and collection to the indexes that the file names."""
    return {
        (database, collection): indexes
        for database, spec in spec_of(asked).databases.items()
        for collection, indexes in spec.indexes.items()
    }


def labels(asked: DesiredInstance) -> frozenset[str]:
    """The label of every index in the file: what an `up` that succeeded should remember."""
    return frozenset(
        label(database, collection, index.label)
        for (database, collection), indexes in wanted(asked).items()
        for index in indexes
    )


def steps(asked: DesiredInstance, facts: Facts, make: Make) -> Iterator[Step[Session]]:
    """Create, change, rebuild what the file names; then drop what it named once."""
    used: set[str] = set()
    for (database, collection), why in facts.unseen.items():
        yield _unseen(f"{database}.{collection}", why, make)
    for (database, collection), indexes in wanted(asked).items():
        if (database, collection) in facts.unseen:
            continue
        found = facts.indexes.get((database, collection), ())
        for index in indexes:
            match = _match(index, found)
            used |= {label(database, collection, old.name) for old in match}
            due = _step(database, collection, index, match, make)
            yield from about(due, _user(asked, database), "index")
    for (database, collection), found in facts.indexes.items():
        for old in found:
            name = label(database, collection, old.name)
            if name in asked.known and name not in used:
                drop = _drop(database, collection, old.name)
                yield make("drop", name, "an index that left the file", drop, True)


def _user(asked: DesiredInstance, database: str) -> str:
    """The first app that the file gives a database; '' where there is none."""
    grants = asked.instance.granted(MongodbGrant)
    return next((app for app, grant in grants.items() if grant.covers(database)), "")


def _unseen(place: str, why: str, make: Make) -> Step[Session]:
    """A collection that could not be looked into fails by itself, when its turn has come."""

    def fail(_: Session) -> None:
        raise StepError(
            f"{place} could not be inspected, so its indexes were not changed: {why}",
            "if a view has that name, drop it or remove the name from 'indexes:' in the file; "
            "then run 'mngdb up' again",
        )

    return make("change", place, "its indexes, once it can be inspected", fail, False)


def _match(index: Index, found: tuple[FoundIndex, ...]) -> list[FoundIndex]:
    """The found indexes that stand where `index` should: the right one, or all in its way."""
    keys = keys_wanted(index)
    same = [old for old in found if keys_of(old) == keys]
    right = [old for old in same if not differences(index, old)]
    if right:
        return right[:1]
    # the server refuses a second index of the same name, and most of the same keys
    return same + [old for old in found if old.name == index.label and old not in same]


def _step(
    database: str, collection: str, index: Index, match: list[FoundIndex], make: Make
) -> Iterator[Step[Session]]:
    name = label(database, collection, index.label)
    if not match:
        create = _create(database, collection, index)
        yield make("create", name, f"index {describe(index)}", create, False)
        return
    old = match[0]
    differing = differences(index, old)
    if len(match) == 1 and not differing and keys_of(old) == keys_wanted(index):
        return
    change = _change(index, old, differing)
    if len(match) == 1 and change and keys_of(old) == keys_wanted(index):
        detail = ", ".join(text for text, _ in change.values())
        options = {option: value for option, (_, value) in change.items()}
        yield make("change", name, detail, _modify(database, collection, old, options), False)
        return
    why = ", ".join(differing) or "keys"
    detail = f"index {describe(index)}; it exists with other {why}"
    yield make("rebuild", name, detail, _rebuild(database, collection, index, match), True)


def _change(
    index: Index, old: FoundIndex, differing: list[str]
) -> dict[str, tuple[str, int | bool]]:
    """Option to what is said and the value that collMod sets; empty where that is not enough."""
    if not {"ttl", "hidden"} >= set(differing) or ("ttl" in differing and index.ttl is None):
        return {}
    found: dict[str, tuple[str, int | bool]] = {}
    if "ttl" in differing:
        text = f"documents expire {_seconds(index.ttl)} s after the date, not {_expiry(old)}"
        found["expireAfterSeconds"] = (text, int(_seconds(index.ttl) or 0))
    if "hidden" in differing:
        found["hidden"] = ("no longer hidden from queries", False)
    return found


def describe(index: Index) -> str:
    """The index in a few words."""
    words = ["unique"] if index.unique else []
    words += ["sparse"] if index.sparse else []
    words += ["partial"] if index.partial is not None else []
    if index.ttl is not None:
        words.append(f"TTL {_seconds(index.ttl)} s")
    keys = ", ".join(f"{field}: {way}" for field, way in index.keys.items())
    purpose = [f"({index.purpose})"] if index.purpose else []
    return " ".join([*words, f"{{{keys}}}", *purpose])


def keys_wanted(index: Index) -> tuple[Any, ...]:
    """What the index is on, in one spelling."""
    text = sorted(field for field, way in index.keys.items() if way == "text")
    keys: list[Any] = []
    for field, way in index.keys.items():
        if way != "text":
            keys.append((field, way))
        elif ("text", tuple(text)) not in keys:
            keys.append(("text", tuple(text)))
    return tuple(keys)


def keys_of(old: FoundIndex) -> tuple[Any, ...]:
    """The same of one that is there: directions come back as 1, 1.0 or Int64(1); a text index hides
    its fields in `weights`."""
    keys: list[Any] = []
    for field, way in old.document["key"].items():
        if field == "_fts":
            keys.append(("text", tuple(sorted(old.document["weights"]))))
        elif field != "_ftsx":
            keys.append((field, way if isinstance(way, str) else (1 if way > 0 else -1)))
    return tuple(keys)


def differences(index: Index, old: FoundIndex) -> list[str]:
    """Names of the options that are not as the file says."""
    found = old.document
    pairs = {
        "unique": (index.unique, bool(found.get("unique"))),
        "sparse": (index.sparse, bool(found.get("sparse"))),
        "ttl": (_seconds(index.ttl), _expiry(old)),
        "partial filter": (_plain(index.partial), _plain(found.get("partialFilterExpression"))),
        "name": (index.name or old.name, old.name),
    }
    others = [key for key in found if key not in _OWN and found[key] is not False]
    return [name for name, (asked, has) in pairs.items() if asked != has] + others


def _seconds(ttl: timedelta | None) -> int | None:
    return None if ttl is None else int(ttl.total_seconds())


def _expiry(old: FoundIndex) -> int | None:
    value = old.document.get("expireAfterSeconds")
    return None if value is None else int(value)


def _plain(value: Any) -> Any:
    """A filter in one spelling: numbers of all types alike, but true is not 1."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool):
        return ("bool", value)
    return value


def _document(index: Index) -> Options:
    options: Options = {"key": dict(index.keys), "name": index.label}
    if index.unique:
        options["unique"] = True
    if index.sparse:
        options["sparse"] = True
    if index.ttl is not None:
        options["expireAfterSeconds"] = _seconds(index.ttl)
    if index.partial is not None:
        options["partialFilterExpression"] = index.partial
    return options


def _build(session: Session, database: str, collection: str, *documents: Options) -> None:
    session.command("createIndexes", collection, on=database, limit=None, indexes=list(documents))


def _create(database: str, collection: str, index: Index) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        with explain(session, database, collection, index):
            _build(session, database, collection, _document(index))

    return run


def _drop(database: str, collection: str, name: str) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.command("dropIndexes", collection, on=database, index=name)

    return run


def _modify(
    database: str, collection: str, old: FoundIndex, options: Options
) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        change = {"name": old.name, **options}
        session.command("collMod", collection, on=database, index=change)

    return run


def _rebuild(
    database: str, collection: str, index: Index, match: list[FoundIndex]
) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        if index.unique:
            require_unique(session, database, collection, index)
        for old in match:
            _drop(database, collection, old.name)(session)
        try:
            _create(database, collection, index)(session)
        except StepError:
            # duplicates came in meanwhile, or the server refuses the options: as it was before
            before = [{k: v for k, v in old.document.items() if k != "ns"} for old in match]
            _build(session, database, collection, *before)
            raise

    return run
