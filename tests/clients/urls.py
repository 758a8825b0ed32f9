"""What every driver has to do with the variables of `mngdb env APP --for DRIVER`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from mngdb.targets.process import tls
from tests.conftest import Cli
from tests.debian import redis_folder

FILE = """
tls: TLS
binaries: {redis: FOLDER}
postgres: {port: PORT1}
redis: {port: PORT2, version: 7}
mongodb: {port: PORT3}
apps: {shop: {postgres: shop, redis: "shop:*", mongodb: shop}}
"""
ENGINES = ("postgres", "redis", "mongodb")
#: With every sign that has a meaning in URLs, shells and files of properties.
SECRET = "p@ss/w:rd?#[]%+&={engine}\\$x;~" + "aB3dE5gH7jK9" * 2
WRONG = "wr@ng/w:rd?#[]%+&=" + "zY8xW6vU4tS2" * 2

#: Runs a program for a driver with these variables; returns what it prints. Raises AssertionError
#: with all that it said where it fails.
Program = Callable[[Mapping[str, str]], str]


@pytest.fixture(scope="module", params=["true", "false"], ids=["tls", "plain"])
def stack(request: pytest.FixtureRequest, module_cli: Cli) -> Cli:
    """Servers with TLS, then the same without, and an app whose passwords hold every sign."""
    text = FILE.replace("FOLDER", str(redis_folder()))
    module_cli.write(text.replace("TLS", request.param))
    if request.param == "true":
        for engine in ENGINES:
            module_cli.ok("secret", "set", f"{engine}_shop", stdin=SECRET.format(engine=engine))
    module_cli.ok("up")
    return module_cli


def encrypted(cli: Cli) -> bool:
    """Which of the two it is."""
    return "tls: true" in (cli.folder / "mngdb.yaml").read_text()


def works(cli: Cli, driver: str, program: Program, folder: Path) -> str:
    """Let a driver do its work. On servers with TLS, it also has to refuse another CA, and to be
    refused with a wrong password, which it does not print. `driver`: of `--for`; empty: without.
    Returns what the program printed."""
    env = cli.json("env", "shop", *(("--for", driver) if driver else ()))
    said = program(env)
    if not encrypted(cli):
        return said
    ca, other = _ca(cli), str(tls.ensure_ca(folder, "other"))
    failed = refused(program, {name: text.replace(ca, other) for name, text in env.items()})
    assert re.search(r"certificate|unknown authority|PKIX", failed, re.IGNORECASE), failed
    failed = refused(program, with_password(env))
    for secret in (WRONG, *(SECRET.format(engine=engine) for engine in ENGINES)):
        assert secret not in failed
        assert quote(secret, safe="") not in failed
    return said


def proved(driver: str) -> str:
    """What is recorded of a driver that did all of it."""
    option = f" --for {driver}" if driver else ""
    return f"`mngdb env APP{option}`: TLS and without; refuses another CA; prints no password"


def refused(program: Program, env: Mapping[str, str]) -> str:
    """What a program says that has to fail."""
    with pytest.raises(AssertionError) as caught:
        program(env)
    return str(caught.value)


def with_password(env: Mapping[str, str]) -> dict[str, str]:
    """The same variables with a wrong password."""
    found = dict(env)
    for engine in ENGINES:
        right = SECRET.format(engine=engine)
        for old, new in ((right, WRONG), (quote(right, safe=""), quote(WRONG, safe=""))):
            found = {name: text.replace(old, new) for name, text in found.items()}
    assert found != env
    return found


def _ca(cli: Cli) -> str:
    ca = cli.env_of("shop")["MONGO_TLS_CA_FILE"]
    assert Path(ca).is_file()
    return ca
