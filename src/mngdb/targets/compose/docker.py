"""The one door to `docker`: its answers as data, its complaints as sentences."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mngdb.data import texts
from mngdb.errors import MngdbError, StepError, UnobservableError, UnreachableError, UsageError
from mngdb.run import last_line, run

_TIMEOUT = 60.0
#: Seconds for what the engine knows at once, and those after which one that hung is asked again.
_LOOK, _AGAIN = 15.0, 5.0
#: Seconds for whether there is an engine at all: one that is gone is told at once.
_GLANCE = 1.0
#: Seconds for what may have to fetch images.
PULL_TIMEOUT = 1800.0
#: Versions before it do not know what the rendered file says.
_COMPOSE = (2, 20)

#: What the errors of docker.yaml are called there.
_ERRORS: dict[str, type[MngdbError]] = {
    "unreachable": UnreachableError,
    "usage": UsageError,
    "step": StepError,
}


@dataclass(frozen=True)
class Docker:
    """The `docker` command, led to one engine."""

    host: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    _hung: list[float] = field(default_factory=list, compare=False, repr=False)
    """When it did not answer last, by the monotonic clock."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of `docker`. What is set for a Compose project of somebody's own (its
        files, its name) is not for ours."""
        kept = {k: v for k, v in self.environ.items() if not k.startswith("COMPOSE_")}
        more = {"COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain"}
        return {**kept, **more, **({"DOCKER_HOST": self.host} if self.host else {})}

    @property
    def where(self) -> str:
        """Which engine it is, for people."""
        context = self.env.get("DOCKER_CONTEXT")
        default = f"the context {context}" if context else "the default engine"
        return self.env.get("DOCKER_HOST") or default

    def ask(
        self,
        *words: str,
        stdin: str | None = None,
        timeout: float = _TIMEOUT,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker WORDS`. Raises UnreachableError when no engine answers, UsageError without
        docker or Compose, and with `check` StepError when it fails otherwise."""
        try:
            done = run(["docker", *words], timeout=timeout, env=self.env, stdin=stdin, check=False)
        except MngdbError as error:
            if "program not found" not in error.message:
                raise
            raise UsageError(
                "docker is not installed here", "install Docker, or use target: local"
            ) from None
        if done.returncode != 0:
            for cause in texts(__file__):
                match = re.search("|".join(cause["says"]), done.stderr)
                if match:
                    at = next(filter(None, match.groups()), "")
                    told = cause["message"].format(where=self.where, at=at)
                    raise _ERRORS[cause["error"]](told, cause["hint"])
            if check:
                raise StepError(f"docker {words[0]}: {_said(done.stderr or done.stdout)}")
        return done

    def look(
        self, *words: str, check: bool = True, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As `ask`, a question. An engine that hangs is told soon, and nobody waits for it again
        and again. Raises UnreachableError."""
        if not self._hung or time.monotonic() - self._hung[0] > _AGAIN:
            try:
                return self.ask(*words, check=check, timeout=timeout or _LOOK)
            except MngdbError as error:
                if not isinstance(error.__cause__, subprocess.TimeoutExpired):
                    raise
                self._hung[:] = [time.monotonic()]
        raise UnreachableError(
            f"the Docker engine hangs and does not answer ({self.where})",
            "see its log (journalctl -u docker); with 'live-restore' on, restarting it stops no "
            "container",
        )

    def need_engine(self) -> None:
        """Raises UnreachableError when no engine answers. One that only takes its time proves
        nothing here: it may be busy, as the machine may be."""
        try:
            self.ask("version", "--format", "{{.Server.Version}}", timeout=_GLANCE)
        except MngdbError as error:
            if not isinstance(error.__cause__, subprocess.TimeoutExpired):
                raise

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        """What the engine knows of a container, volume or image; None: there is none."""
        done = self.look("inspect", "--type", kind, name, check=False)
        if done.returncode != 0:
            absent = rf"no such|{re.escape(name)}\"? not found"
            if re.search(absent, done.stderr, re.IGNORECASE):
                return None
            raise UnobservableError(f"docker inspect {name}: {_said(done.stderr)}")
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found[0] if found else None

    def listed(self, kind: str, label: str) -> list[dict[str, Any]]:
        """Containers, volumes, networks or images that carry a label, as `inspect` tells them."""
        every = ("--all",) if kind == "container" else ()
        names = self.look(
            kind, "ls", *every, "--quiet", "--filter", f"label={label}"
        ).stdout.split()
        return self.inspected(kind, names)

    def inspected(
        self, kind: str, names: Sequence[str], timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Those of these containers, volumes or networks that there are. Raises MngdbError when
        the engine does not answer within `timeout` seconds (None: some)."""
        if not names:
            return []
        # those that are not there are told on the other channel
        done = self.look("inspect", "--type", kind, *names, check=False, timeout=timeout)
        found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
        return found

    def engine_id(self) -> str:
        """What the engine calls itself, as long as it keeps its data."""
        return self.look("info", "--format", "{{.ID}}").stdout.strip()

    def need_compose(self) -> None:
        """Raises UsageError without a Compose that is new enough and where `docker` is Podman,
        UnreachableError without an engine."""
        if self.look("--version").stdout.startswith("podman"):
            raise UsageError(
                "docker is Podman here, which mngdb does not support",
                "install Docker, or use target: local",
            )
        said = self.look("compose", "version", "--short").stdout.strip().removeprefix("v")
        found = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
        if found < _COMPOSE:
            wanted = ".".join(map(str, _COMPOSE))
            raise UsageError(f"Compose is {said}; mngdb needs {wanted} or newer", "update Compose")
        self.look("version", "--format", "{{.Server.Version}}")


def _said(text: str) -> str:
    """The line that tells the cause, without Compose's progress."""
    lines = [line for line in text.splitlines() if re.search(r"rror|denied|invalid", line)]
    return last_line(re.sub(r'^.*level=\w+ msg="?', "", "\n".join(lines) or text))


def secrets_of(words: Sequence[str]) -> list[str]:
    """Options that hand variables of our environment on, by name alone."""
    return [part for word in words for part in ("--env", word)]
