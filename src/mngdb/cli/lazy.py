"""A group whose commands are imported when they are called: `--help` stays fast."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


class Lazy(click.Group):
    """Commands by name: the module of `mngdb.cli` that has them, and the line in `--help`."""

    def __init__(
        self,
        *args: Any,
        table: Mapping[str, tuple[str, str]] | None = None,
        sections: Mapping[str, Sequence[str]] | None = None,
        synonyms: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.table = table or {}
        self.sections = sections or {"Commands": list(self.table)}
        self.synonyms = synonyms or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; `help` and `version` are options of every command but look like commands
        to those who type them."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        elif args == ["version"]:
            args = ["--version"]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now. A `-` in its name is a `_` in the module."""
        if cmd_name not in self.table:
            return None
        module = importlib.import_module(f"mngdb.cli.{self.table[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without an import."""
        width = max(map(len, self.table), default=0)
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self.table[name][1]) for name in names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown command is told with the nearest known one."""
        if args and args[0] not in self.table:
            word = "cli" if args[0].endswith("-cli") else args[0]  # a server's client, by its name
            raise unknown(ctx, args[0], self.table, self.synonyms.get(word))
        return super().resolve_command(ctx, args)


def unknown(
    ctx: click.Context, given: str, known: Iterable[str], meant: str | None = None
) -> click.UsageError:
    """The error for a command that there is not, with the nearest known one."""
    import difflib

    close = [meant] if meant else difflib.get_close_matches(given, known, n=1)
    near = f" (did you mean {close[0]!r}?)" if close else ""
    return click.UsageError(f"no such command {given!r}{near}", ctx)


class Elsewhere(click.Group):
    """A group that knows where commands are that people look for in it."""

    def __init__(
        self, *args: Any, elsewhere: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.elsewhere = elsewhere or {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a command of another group is told with how that is called."""
        from mngdb.errors import UsageError

        if args and args[0] in self.elsewhere:
            raise UsageError(
                f"'{ctx.command_path} {args[0]}' is not a command", self.elsewhere[args[0]]
            )
        if args and args[0] not in self.commands:
            raise unknown(ctx, args[0], self.commands)
        return super().resolve_command(ctx, args)
