"""The runbooks' own sentences, in English and Korean: words.yaml."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, convert

from mngdb.data import texts

#: The names of the pages, without the ending of their language.
PLAYBOOK, CHECKLIST = "RECOVERY_PLAYBOOK", "OPERATIONAL_CHECKLIST"


class Words(Struct, frozen=True):
    """One language. `{…}` in a text is filled in."""

    playbook: str
    checklist: str
    made: str
    see_also: str
    what_runs: str
    unit: str
    engine: str
    address: str
    data: str
    volume: str
    apps: str
    first_look: str
    each_app: str
    starting: str
    starting_text: str
    secret_lost: str
    secret_lost_text: str
    restoring: str
    restoring_text: str
    alerts: str
    linked: str
    linked_elsewhere: str
    severity: Mapping[str, str]
    daily: str
    weekly: str
    deploying: str
    quarterly: str
    boxes: str
    boxes_text: str
    around: Mapping[str, str]
    """What is checked besides the servers, to its heading."""
    ending: str = ".md"
    """What the names of its files end in: each page leads to those of its own language."""

    def file(self, name: str) -> str:
        """The name of a page's file in this language."""
        return f"{name}{self.ending}"


_WORDS = convert(texts(__file__), dict[str, Words])
ENGLISH, KOREAN = _WORDS["en"], _WORDS["ko"]
