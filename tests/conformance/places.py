"""A stack of one engine on one target, for the suite."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tests.conformance.drivers import Driver
from tests.conftest import Cli
from tests.toy import server

#: An account that every machine has: what the toy needs as root, none is made for a test.
_ACCOUNT = ["account: daemon"] if os.geteuid() == 0 else []


class Toys(Cli):
    """The command with a fourth engine and a fourth target."""

    module: ClassVar[str] = "tests.toy"


@dataclass
class Place:
    """A stack that is up, with the app `shop`; a test leaves it as it was."""

    cli: Cli
    driver: Driver
    target: str
    head: str
    """The file above its apps."""
    plan: Any = field(init=False)
    report: Any = field(init=False)

    @property
    def ours(self) -> bool:
        """Whether its servers are started and stopped."""
        return self.target != "external"

    @property
    def engine(self) -> str:
        return self.driver.engine

    @cached_property
    def env(self) -> dict[str, str]:
        """The app's variables, asked for once."""
        return self.cli.env_of("shop")

    @property
    def unit(self) -> Any:
        """What `status` says of its server."""
        (found,) = json.loads(self.cli.run("--json", "status").stdout)["units"]
        return found

    def write(self, *, app: bool = True) -> None:
        """Write the file, with the app or without."""
        apps = f'shop: {{{self.engine}: "{self.driver.right}"}}' if app else ""
        self.cli.write(f"{self.head}\napps: {{{apps}}}\n")

    def steps(self, *options: str) -> list[tuple[str, str]]:
        """Action and object of what `plan` shows."""
        return actions(self.cli.json("plan", *options))


def actions(document: Any) -> list[tuple[str, str]]:
    """Action and object of its steps."""
    return [(step["action"], step["object"]) for step in document["steps"]]


@contextmanager
def place(driver: Driver, target: str, folder: Path, *, app: bool = True) -> Iterator[Place]:
    """A stack in `folder` that is up, with the app or without. It ends with its servers, and with
    those of others that it uses."""
    cli = Toys(folder, {"PATH": f"{_programs(folder)}:{os.environ['PATH']}"})
    if target != "external":
        given = ", ".join(_ACCOUNT) if target != "local" or driver.engine == "toy" else ""
        instance = f"{driver.engine}: {{port: PORT1{driver.options}}}"
        found = Place(cli, driver, target, f"target: {{{target}: {{{given}}}}}\n{instance}")
        found.write(app=app)
        with _up(found):
            yield found
        return
    # in a yard a server may write its own files, as one that was installed by hand may
    with place(driver, "yard", folder / "theirs", app=False) as theirs:
        admin = theirs.cli.ok("url", driver.engine).strip()
        driver.admit(admin, theirs.cli.state / "yard" / theirs.unit["name"] / "conf")
        url = urlsplit(admin)
        bare = url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}").geturl()
        instance = f'{driver.engine}: {{target: {{external: {{url: "{bare}"}}}}}}'
        found = Place(cli, driver, target, f"name: ours\n{instance}")
        found.write()
        cli.ok("secret", "set", f"{driver.engine}_admin", stdin=url.password)
        with _up(found):
            yield found


@contextmanager
def _up(found: Place) -> Iterator[None]:
    try:
        found.plan = found.cli.json("plan")
        found.report = found.cli.json("up")
        yield
    finally:
        if found.cli.state.is_dir():
            found.cli.ok("destroy", "--yes", "mng" if found.ours else "ours")


def _programs(folder: Path) -> Path:
    """A folder with the toy's server, as a machine has it that installed one."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    shutil.copy(server.__file__, programs / "toy-server")
    (programs / "toy-server").chmod(0o755)
    return programs
