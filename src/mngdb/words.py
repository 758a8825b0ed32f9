"""How numbers and the names that others gave stand in sentences."""

from __future__ import annotations

import re
import shlex

#: Those of C1, those that change the direction of what follows or end a line, halves of characters.
_STRANGE = r"\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROLS = re.compile(rf"[\x00-\x1f{_STRANGE}]")
#: All but ends of lines, tabs and the colours that mngdb itself writes: others conceal text.
_COMMANDS = re.compile(
    rf"\x1b(?!\[(?:0|1|2|22|[39][0-7])m)|[\x00-\x08\x0b-\x1a\x1c-\x1f{_STRANGE}]"
)
#: What Markdown, HTML and chats make something of; of an address, what follows its scheme.
_MARKUP = re.compile(r"[<>\[\]()@*`~|&!#]|(?<=:)/(?=/)")
_IN_JSON = re.compile(rf"[{_STRANGE}]")
#: First words of SQL statements, as PostgreSQL has them.
VERBS = frozenset(
    {
        *("SELECT", "COPY", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE", "WITH"),
        *("TRUNCATE", "CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT", "REASSIGN"),
        *("REINDEX", "VACUUM", "ANALYZE", "CLUSTER", "REFRESH", "CHECKPOINT", "LOCK", "CALL", "DO"),
        *("PREPARE", "EXECUTE", "DEALLOCATE", "DECLARE", "FETCH", "MOVE", "CLOSE", "EXPLAIN"),
        *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"),
        *("SET", "RESET", "SHOW", "DISCARD", "LISTEN", "UNLISTEN", "NOTIFY", "LOAD", "SECURITY"),
        "IMPORT",
    }
)
#: What `--yes` adds to what a command allows: what costs money. No login is called so.
COSTS = "$"
#: How a step says that it takes consent to change a login of somebody else's.
TAKE_OVER = "take over a login that this stack did not create"


def numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with, to be compared: 17.10 is later than 17.9, 8.0.5-rc0
    is 8.0.5; () for no version."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def plain(text: str) -> str:
    """A text of a server's on one line, without what a terminal would take as a command: names and
    statements are what apps make them."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def inert(name: str) -> str:
    """A name in a message to people: no chat or mail takes it for a mention, a link, markup or the
    end of a line, whatever a server's users called it."""
    return _MARKUP.sub(lambda found: f"\\x{ord(found[0]):02x}", plain(name))


def named(name: str) -> str:
    """A name as an argument of a command that is to be pasted: the shell expands nothing in it,
    whatever a server's users called it."""
    shown = plain(name)
    quoted = shlex.quote(shown)
    return f"'{shown}'" if quoted == shown else quoted


def harmless(text: str) -> str:
    """Lines for a terminal, with no other command in them than colours."""
    return _COMMANDS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def colourless(text: str) -> str:
    """The same of a server, whose colours would last to the next line and hide it."""
    return harmless(text.replace("\x1b", "\\x1b"))


def harmless_json(text: str) -> str:
    """The same document for a terminal that looks at it: JSON itself escapes only what is ASCII."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def kind(statement: str) -> str:
    """What kind of SQL statement it is (SELECT), without the values in it; empty: unknown. A text
    that begins otherwise may be anything, also a password that was pasted into a client."""
    found = re.match(r"[A-Za-z]+(?!\w)", statement)
    return found[0] if found and found[0].upper() in VERBS else ""


def many(count: int, noun: str) -> str:
    """`1 session`, `2 sessions`, `2 indexes`."""
    end = "es" if noun.endswith("x") else "s"
    return f"{count} {noun}{'' if count == 1 else end}"


def span(seconds: float) -> str:
    """A duration in its largest unit, as people say it: 3d, 5h, 12m, 8s."""
    for size, letter in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{letter}"
    return f"{int(max(0, seconds))}s"
