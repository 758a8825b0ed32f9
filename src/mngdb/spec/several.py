"""The databases of an app, one or several: whole names, and beginnings of names (`tenant_*`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from mngdb.spec.base import BaseGrant, located

#: What stands for the rest of a name.
REST = "*"
#: The part of an app's variables that holds a database's name.
DATABASE = "database"


class DatabasesGrant(BaseGrant):
    """Rights of an app in databases. Short form: the name of the only one."""

    if TYPE_CHECKING:  # each engine has names of its own kind
        database: str
        databases: list[str]

    @property
    def names(self) -> tuple[str, ...]:
        """Whole names, the main database first."""
        whole = (one for one in self.databases if not one.endswith(REST))
        return tuple(dict.fromkeys((self.database, *whole)))

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Beginnings of names."""
        return tuple(one[: -len(REST)] for one in self.databases if one.endswith(REST))

    def covers(self, name: str) -> bool:
        """Whether a database is among them."""
        return name in self.names or name.startswith(self.prefixes)

    def others(self) -> dict[str, str]:
        """What variables of the further databases end in, to their names: SHOP_TEST; a number for
        one whose name has no letter or digit for it, or those of another."""
        found: dict[str, str] = {}
        numbered: list[tuple[int, str]] = []
        for number, name in enumerate(self.names[1:], 2):
            suffix = re.sub("[^A-Z0-9]+", "_", name.upper()).strip("_")
            if suffix and suffix not in found:
                found[suffix] = name
            else:
                numbered.append((number, name))
        for number, name in numbered:  # last: a database may be called `3`
            free = (str(one) for one in count(number) if str(one) not in found)
            found[next(free)] = name
        return found

    @model_validator(mode="before")
    @classmethod
    def _main(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"database": value}
        if not isinstance(value, dict) or "database" in value:
            return value
        named = value.get("databases")
        if isinstance(named, str):
            raise located(f"has to be a list: [{named[:40]}]", "databases")
        if "databases" in value and not isinstance(named, list):
            raise located("has to be a list: [a, b]", "databases")
        if named == []:
            raise located("needs at least one entry", "databases")
        first = named[0] if isinstance(named, list) else None
        if not isinstance(first, str):
            return value
        if first.endswith(REST):
            text = "the first database is the main one: write its whole name"
            raise located(text, "databases", 0)
        return value | {"database": first}

    @model_validator(mode="after")
    def _once(self) -> DatabasesGrant:
        if REST in self.database:
            text = f"{self.database!r} is not a whole name: databases: [NAME, {self.database!r}]"
            raise located(text, "database")
        for at, one in enumerate(self.databases):
            if REST in one[:-1]:
                text = f"{one!r}: '*' can only be the end of a name: 'test_*'"
                raise located(text, "databases", at)
            if one == REST:
                raise located("'*' would be every database of the server", "databases", at)
            if one in self.databases[:at]:
                raise located(f"the database {one!r} is listed twice", "databases", at)
        return self


def named(grants: Iterable[DatabasesGrant]) -> list[str]:
    """Every whole name in these rights, in their order."""
    return list(dict.fromkeys(name for grant in grants for name in grant.names))
