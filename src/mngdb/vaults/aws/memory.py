"""What this machine remembers of a vault in AWS: where it was, and the last good copy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mngdb import disk
from mngdb.errors import MngdbError, SecretError
from mngdb.spec.units import format_duration
from mngdb.spec.vault import AwsSecrets
from mngdb.vaults.aws.client import AwayError
from mngdb.vaults.aws.copies import Copies, Dated
from mngdb.words import many

#: Says where the secrets are.
NOTE = "vault.json"
#: A copy is written again when it has this share of its highest age.
_AGAIN = 0.05


class Memory:
    """In a stack's state folder; None: nothing is remembered."""

    def __init__(
        self, settings: AwsSecrets, state: Path | None, warn: Callable[[str], None]
    ) -> None:
        """`warn` says something that a person has to see."""
        self._settings = settings
        self._warn = warn
        self._note = state / NOTE if state is not None else None
        self._copies = Copies(state) if state is not None else None
        self.stood_in = False

    def remember(self, values: Mapping[str, str], asked: Iterable[str], region: str) -> None:
        """AWS has answered, with these values of those that it was `asked` for."""
        self.stood_in = False
        if values:
            self._note_place(region, next(iter(values)))
        if self._copies is None:
            return
        if not self._settings.fail_open:
            self._copies.forget()
            return
        # one that is not there any more must not come back, nor one live on that nobody asks for
        known, now, gone = self._copies.last(), time.time(), {*asked}
        kept = {name: one for name, one in self._young(known).items() if name not in gone}
        wanted = kept | {name: (value, now) for name, value in values.items()}
        aged = any(now - known[name][1] > self._most * _AGAIN for name in values.keys() & known)
        if aged or {n: v for n, (v, _) in known.items()} != {n: v for n, (v, _) in wanted.items()}:
            self._copies.keep(wanted)

    def stand_in(self, error: AwayError) -> Mapping[str, str]:
        """What AWS answered last, where the file has `fail_open`; a person is told. Raises the
        error, with what there is instead of an answer."""
        if not self._settings.fail_open:
            raise SecretError(
                f"{error.message}; nothing is done without secrets (fail_open: false)", error.hint
            )
        known = self._copies.last() if self._copies is not None else {}
        young = self._young(known)
        if not young:
            most = format_duration(self._settings.max_age)
            old = f"is older than {most}" if known else "does not exist"
            raise SecretError(f"{error.message}; the last good copy {old}", error.hint)
        self.stood_in = True
        age = max(0.0, time.time() - min(at for _, at in young.values()))
        minutes = many(int(age // 60), "minute")
        self._warn(
            f"WARNING: {error.message}. Secrets are a copy that is {minutes} old (fail_open: true)"
        )
        return {name: value for name, (value, _) in young.items()}

    @property
    def _most(self) -> float:
        return self._settings.max_age.total_seconds()

    def _young(self, known: Mapping[str, Dated]) -> dict[str, Dated]:
        now = time.time()
        return {name: one for name, one in known.items() if now - one[1] <= self._most}

    def check_absence(self, region: str) -> None:
        """Raises SecretError where AWS has none of the secrets that it had: they are in another
        place, or gone, and must not be made anew beside servers that have them."""
        was = self._noted()
        if not was:
            return
        here = {"name": self._settings.name, "region": region}
        if {key: was.get(key) for key in here} != here:
            raise SecretError(
                f"there are no secrets at {_at(here)}: this stack has them at {_at(was)}",
                "correct the file or AWS_REGION; 'mngdb secrets push' copies secrets to another "
                "place",
            )
        raise SecretError(
            f"the secrets at {_at(here)} are gone",
            f"restore them; to have new ones made, remove {self._note}",
        )

    @property
    def witness(self) -> str:
        """A secret that was there; empty: none is known."""
        return self._noted().get("witness", "")

    def _noted(self) -> dict[str, str]:
        return _read(self._note) if self._note is not None else {}

    def _note_place(self, region: str, witness: str) -> None:
        here = {"name": str(self._settings.name), "region": region}
        noted = self._noted()
        same = {key: noted.get(key) for key in here} == here
        if self._note is not None and self._note.parent.is_dir() and not same:
            with suppress(OSError, MngdbError):  # the next one does
                disk.write(self._note, json.dumps({**here, "witness": witness}) + "\n")


def check_left(state: Path) -> None:
    """For a stack whose vault is another one now. Raises SecretError where its secrets are in AWS:
    what that vault has is old, and new ones must not be made beside servers that have them."""
    was = _read(state / NOTE)
    if was:
        name, region = was.get("name"), was.get("region")
        raise SecretError(
            f"the secrets of this stack are in AWS ({_at(was)}), which neither the file nor the "
            "environment says",
            f"set USE_AWS_SECRETS=true, AWS_SECRET_NAME={name} and AWS_REGION={region}, or 'vault: "
            f"{{aws: {{name: {name}, region: {region}}}}}'; to move them from there: "
            f"AWS_REGION={region} mngdb secrets pull --overwrite --from aws:{name}",
        )


def left(state: Path, place: str) -> None:
    """All secrets that were in AWS, under the name `place`, have been copied from there."""
    if _read(state / NOTE).get("name") == place:
        (state / NOTE).unlink()


def _read(note: Path) -> dict[str, str]:
    with suppress(OSError, MngdbError, ValueError, AttributeError):
        found = json.loads(disk.read_own(note) or "{}")
        return {str(key): str(value) for key, value in found.items()}
    return {}


def _at(place: Mapping[str, str | None]) -> str:
    return f"{place.get('name')} in {place.get('region')}"
