"""Checks from their two halves: what is asked stands in a YAML file, how it is judged in the module
of the same name beside it. A setting is judged by its entry alone.

The file says what its checks are about, then has an entry for each, by the check's id:

    about: member                                 # findings.About; left out: the stack
    postgres.log-locks:
      title: long waits for locks are logged      # true when the check passes
      severity: medium                            # at the worst
      setting: {log_lock_waits: on}               # a value, a list, or {from: 1, to: 60}
      nowhere: {unlogged: no unlogged table}      # or another of the engine's `Settings.shared`
      expected: log_lock_waits on                 # of a setting with one value: not needed
      remedy: {reset: log_lock_waits}             # a text, or a template of the engine and its word
      sources: [A12, "postgresql.org: Error Reporting and Logging"]
      about: instance                             # where it is not what the file says
      hosted: true                                # also where a provider runs the server
      on_request: true                            # only where a control or its id is asked for
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from msgspec import Struct

from mngdb.checks import controls
from mngdb.data import texts
from mngdb.findings import About, Check, Judgement

F = TypeVar("F")
Judge = Callable[[F], Judgement]
Good = Callable[[str], bool]


class Settings(Struct, Generic[F], frozen=True):
    """How an engine's settings are judged, and what mends them."""

    judge: Callable[[str, Good], Judge[F]]
    """From the setting's name, and whether a value is good."""
    remedies: Mapping[str, str]
    """Templates by name, each with one `%s`. `setting`, for an entry without a remedy, has two: for
    the setting's name and for its value."""
    shared: Mapping[str, Callable[[str, str], Judge[F]]] = {}
    """Judges that several checks share, by the key of an entry; made from the one pair below it."""


def checks(
    module: str,
    judges: Mapping[str, Judge[F]],
    settings: Settings[F] | None = None,
) -> tuple[Check[F], ...]:
    """The checks that `judges` has by id and, given `settings`, those of a setting, in the order of
    the YAML file beside `module`, a module's `__file__`.

    Raises KeyError when an id has no entry."""
    entries = texts(module)
    about = entries.pop("about", "stack")
    if missing := judges.keys() - entries.keys():
        raise KeyError(*missing)
    return tuple(_built(entries, judges, settings, about))


def _built(
    entries: Mapping[str, dict[str, Any]],
    judges: Mapping[str, Judge[F]],
    settings: Settings[F] | None,
    about: About,
) -> Iterator[Check[F]]:
    templates, shared = (settings.remedies, settings.shared) if settings else ({}, {})
    for name, text in entries.items():
        expected, remedy = text.get("expected", ""), text.get("remedy", "")
        judge = judges.get(name)
        for kind in shared.keys() & text.keys():
            (pair,) = text[kind].items()
            judge = shared[kind](*pair)
        if judge is None and settings is not None and "setting" in text:
            ((setting, wanted),) = text["setting"].items()
            judge = settings.judge(setting, good(wanted))
            expected = expected or f"{setting} {wanted}"
            remedy = remedy or templates["setting"] % (setting, wanted)
        if judge is None:
            continue
        if isinstance(remedy, dict):
            ((template, words),) = remedy.items()
            remedy = templates[template] % words
        sources = controls.sources(name, text["sources"])
        severity, of = text["severity"], text.get("about", about)
        hosted = bool(text.get("hosted"))
        on_request = bool(text.get("on_request"))
        yield Check(
            name, text["title"], severity, judge, expected, remedy, sources, of, hosted, on_request
        )


def good(wanted: str | list[str] | dict[str, str]) -> Good:
    """Whether a value is the one that is wanted, one of several, or a number of a range."""
    if isinstance(wanted, str):
        return lambda value: value == wanted
    if isinstance(wanted, list):
        return lambda value: value in wanted
    low, high = float(wanted.get("from", "-inf")), float(wanted.get("to", "inf"))
    return lambda value: low <= float(value) <= high
