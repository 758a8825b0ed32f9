"""What a person types to a MongoDB server without mongosh, and what is printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from mngdb.engines.mongodb import statements
from mngdb.engines.mongodb.client import Document, Refused, Session
from mngdb.engines.mongodb.literals import opens, shown
from mngdb.words import harmless_json, plain

#: Documents of a page.
_PAGE = 20
#: Statements that need no mongosh; `db.js` is a file.
_STATEMENT = re.compile(r"db$|db\b.*\(|show\s|use\s|\{", re.S)
#: What the answer of a write says of those that failed.
_FAILED = ("writeErrors", "writeConcernError")


class Dialogue:
    """Statements one at a time. It remembers the database that `use` chose."""

    help = (
        "show dbs, show collections, use NAME, db.NAME.METHOD(…) with "
        f"{', '.join(statements.METHODS)}, db.runCommand({{…}}), or a command's document; quit or "
        "Ctrl-D ends"
    )

    def __init__(self, database: str, *, pages: bool) -> None:
        self._database = database or "test"
        self._pages = pages
        self._more: Iterator[Document] = iter(())

    def opened(self, session: Session) -> None:
        """Go on in a new session: a cursor was the other one's."""
        self._more = iter(())

    def prompt(self, session: Session) -> str:
        """What stands before what is typed."""
        return f"{self._database}> "

    def opens(self, line: str) -> int:
        """How many brackets are opened besides those in strings and comments, and not closed."""
        return opens(line)

    def statement(self, words: Sequence[str]) -> str | None:
        """The words of a command line as one statement; None: they name files, or are options."""
        text = " ".join(words).strip()
        return text if _STATEMENT.match(text) else None

    def run(self, session: Session, text: str) -> Iterator[str]:
        """Run a statement and give lines of relaxed extended JSON. Raises UsageError for what it
        does not understand, Refused, ConnectError."""
        for line in self._lines(session, statements.parse(text)):
            yield harmless_json(line)

    def _lines(self, session: Session, asked: statements.Statement) -> Iterator[str]:
        if isinstance(asked, statements.Use):
            self._database = asked.database or self._database
            yield f"switched to {self._database}" if asked.database else self._database
        elif isinstance(asked, statements.Databases):
            listed = session.ask("admin", {"listDatabases": 1, "authorizedDatabases": True})
            for one in listed["databases"]:
                yield f"{one['name']:<20} {one.get('sizeOnDisk', 0) / 1024:.0f} kB"
        elif isinstance(asked, statements.More):
            yield from self._page()
        else:
            yield from self._answer(session, asked)

    def _answer(self, session: Session, asked: statements.Command) -> Iterator[str]:
        database = "admin" if asked.admin else self._database
        if asked.form in {"documents", "names", "first", "count"}:
            found = session.documents(database, asked.document)
            if asked.form == "names":
                yield from sorted(plain(one["name"]) for one in found)
                return
            if asked.form == "documents":
                self._more = found
                yield from self._page()
                return
            first = next(found, None)
            yield shown(first if asked.form == "first" else (first or {"n": 0})["n"])
            return
        reply = session.ask(database, asked.document)
        for failed in (reply.get(key) for key in _FAILED):
            if failed:
                one = failed[0] if isinstance(failed, list) else failed
                raise Refused(str(one.get("errmsg")), one.get("code", 0))
        if asked.form == "values":
            yield from map(shown, reply["values"])
        elif asked.form == "reply":
            yield shown(asked.also | {name: reply.get(key, 0) for name, key in asked.shown.items()})
        else:
            yield shown(statements.plain(reply))

    def _page(self) -> Iterator[str]:
        if not self._pages:
            yield from map(shown, self._more)
            return
        yield from map(shown, islice(self._more, _PAGE))
        ahead = list(islice(self._more, 1))
        if ahead:
            self._more = _joined(ahead, self._more)
            yield "it shows the next page"


def _joined(ahead: list[Document], rest: Iterator[Document]) -> Iterator[Document]:
    yield from ahead
    yield from rest
