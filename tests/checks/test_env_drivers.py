"""`mngdb env APP --for DRIVER`, names of one's own, and `--write`. No server is needed; that the
drivers take it, `tests/clients` shows."""

from __future__ import annotations

import io
import json
import re
import stat
import subprocess
from pathlib import Path
from urllib.parse import quote

import click
import dotenv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mngdb.checks import uris
from mngdb.cli.main import cli as command
from mngdb.dotenv import quoted, unambiguous
from mngdb.errors import SpecError, UsageError
from mngdb.ops.ci import render
from mngdb.ops.context import Context
from mngdb.ops.variables import variables
from mngdb.secret import Secret
from mngdb.spec import driver_names
from mngdb.spec.engine_info import DRIVERS, ENGINE_INFO
from mngdb.spec.load import load
from tests.checks.judge import opened
from tests.conftest import ROOT, Cli
from tests.unit.spec import stack

SECRET = Secret("p@ss/w:rd?#[]%+&=" + "x9" * 20)
FILE = (
    "tls: true\nredis: {}\npostgres: {}\nmongodb: {}\n"
    "apps: {shop: {redis: 'shop:*', postgres: shop, mongodb: shop, ENV}}\n"
)


def told(tmp_path: Path, text: str, *drivers: str, app: str = "shop") -> dict[str, str]:
    (tmp_path / "mngdb.yaml").write_text(text)
    context = Context.open(load([tmp_path / "mngdb.yaml"], {}), {})
    found = variables(context, app, SECRET, drivers=drivers)
    # the state of a stack that is not there has another name each time
    return {name: re.sub(r"/mng-[0-9a-f]{8}/", "/mng/", value) for name, value in found.items()}


def with_env(env: str) -> str:
    return FILE.replace("ENV", f"env: {env}")


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_has_what_it_needs(tmp_path: Path, driver: str) -> None:
    for tls in ("true", "false"):
        found = told(tmp_path, FILE.replace("ENV", "").replace("true", tls), driver)
        assert found == told(tmp_path, with_env(f"{{for: {driver}}}").replace("true", tls))
        urls = [one for one in found.values() if uris.is_uri(one)]
        for one in urls:
            read = uris.read(one)
            assert not read.wrong
            assert read.encoded
            assert read.password in {SECRET.reveal(), None}
            # the others are told by a variable of their own
            assert (tls == "true") == read.encrypts or (read.silent and read.engine == "postgres")
        whole = "".join(found.values())
        if not one_by_one(driver):
            assert {uris.read(one).engine for one in urls} == set(ENGINE_INFO)
        assert SECRET.reveal() in whole or quote(SECRET.reveal(), safe="") in whole


def one_by_one(driver: str) -> bool:
    """Whether it has the parts of some server, and no URL."""
    return driver in {"libpq", "spring"}


def test_jdbc_urls_have_no_login(tmp_path: Path) -> None:
    for driver, name in (("jdbc", "POSTGRES_URL"), ("spring", "SPRING_DATASOURCE_URL")):
        at = told(tmp_path, FILE.replace("ENV", ""), driver)[name]
        assert re.fullmatch(
            r"jdbc:postgresql://127\.0\.0\.1:5432/shop\?sslmode=verify-full&sslrootcert=/\S+", at
        )


def test_every_driver_is_on_the_page() -> None:
    page = (ROOT / "docs/connecting.md").read_text()
    named = {word for row in re.findall(r"^\| (`.*?) \|", page, re.M) for word in row.split("`")}
    assert set(DRIVERS) <= named


def test_names_of_ones_own(tmp_path: Path) -> None:
    text = with_env("{DATABASE_URL: postgres, DB_PASS: postgres.password, CACHE_CA: redis.ca}")
    found = told(tmp_path, text)
    assert found["DATABASE_URL"].startswith("postgresql://shop:")
    assert found["DB_PASS"] == SECRET.reveal()
    assert not any(name.startswith(("POSTGRES_", "REDIS_")) for name in found)
    assert "MONGO_URI" in found
    assert "PGREQUIREAUTH" in found
    assert "CACHE_CA" in found
    assert "CACHE_CA" not in told(tmp_path, text.replace("true", "false"))


def test_a_prefix_of_ones_own(tmp_path: Path) -> None:
    found = told(tmp_path, with_env("{prefix: {postgres: DB_, mongodb: DOC_}, for: rails}"))
    assert {"DB_DATABASE_URL", "DOC_MONGODB_URI", "REDIS_URL"} <= found.keys()
    one = "postgres: {}\napps: {shop: {postgres: shop, env: {prefix: DB_, MAIN: postgres}}}\n"
    found = told(tmp_path, one)
    assert {"DB_URL", "DB_PASSWORD", "MAIN"} <= found.keys()
    assert found["MAIN"] == found["DB_URL"]


def test_frameworks_call_the_second_server_by_its_name(tmp_path: Path) -> None:
    text = (
        "postgres: {}\ninstances: {legacy: {engine: postgres, port: 5433}}\n"
        "apps: {shop: {postgres: shop, legacy: shop}, old: {legacy: old}}\n"
    )
    assert {"DATABASE_URL", "LEGACY_DATABASE_URL"} <= told(tmp_path, text, "django").keys()
    assert "DATABASE_URL" in told(tmp_path, text, "django", app="old")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("{for: djagno}", "unknown driver 'djagno' (did you mean 'django'?)"),
        ("{for: Hibernate}", "unknown driver 'Hibernate' (did you mean 'jdbc'?)"),
        ("{for: celery}", "'for' stands beside 'env': {for: celery, env: …}"),
        ("{for: [node, ioredis]}", "node and ioredis are both for Redis"),
        ("{prefix: DB_}", "write prefix: {redis: REDIS_, postgres: POSTGRES_, mongodb: MONGODB_}"),
        ("{prefix: {postgres: A_, redis: A_}}", "two instances have the same prefix"),
        ("{prefix: {queue: A_}}", "shop does not use queue"),
        ("{prefix: {postgres: 'a b'}}", "'a b' is not the start of a variable"),
        ("{DATABASE_URL: postgrs}", "shop does not use 'postgrs' (did you mean 'postgres'?)"),
        ("{DB_PASS: postgres.pasword}", "no 'pasword' (did you mean 'password'?)"),
        ("{database_url: postgres}", "variables are written in capitals: DATABASE_URL"),
        ("django", "has to be a mapping of keys: {for: django}"),
        ("{PATH: postgres}", "PATH is a variable of the shell"),
        ("{LD_PRELOAD: postgres}", "LD_PRELOAD is a variable of the shell"),
        ("{DATABASE_URL: 3}", "has to be a string"),
        ("[a]", "has to be a mapping"),
    ],
)
def test_what_is_wrong_is_told(env: str, said: str) -> None:
    with pytest.raises(SpecError, match=re.escape(said)):
        stack(with_env(env))
    assert stack("postgres: {}\napps: {shop: {postgres: shop, env: }}\n").keys["shop"].env
    with pytest.raises(SpecError, match="'env' is a key of apps"):
        stack("instances: {env: {engine: redis}}\n")


def test_the_command_refuses_what_does_not_fit(tmp_path: Path) -> None:
    text = "redis: {}\napps: {shop: {redis: 'shop:*'}}\n"
    with pytest.raises(UsageError, match="jdbc is for PostgreSQL, which shop does not use"):
        told(tmp_path, text, "jdbc")
    with pytest.raises(UsageError, match="different values of POSTGRES_URL"):
        told(tmp_path, with_env("{POSTGRES_URL: redis}"))


def test_ci_names_every_secret_by_reference(tmp_path: Path) -> None:
    told(tmp_path, with_env("{DB_PW: postgres.password, DB_HOST: postgres.host, LOGIN: redis}"))
    text = render(Context.open(load([tmp_path / "mngdb.yaml"], {}), {}), "github", None)
    assert "DB_PW: ${{ secrets.DB_PW }}" in text
    assert "LOGIN: ${{ secrets.LOGIN }}" in text
    assert "DB_HOST: ${{ vars.DB_HOST }}" in text


def test_a_file_for_a_driver_is_checked_as_one(cli: Cli) -> None:
    cli.write("postgres: {port: PORT1}\napps: {shop: {postgres: shop}}\n")
    context = opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())
    for driver in ("libpq", "jdbc", "django", "sqlalchemy-asyncpg"):
        (cli.folder / ".env").unlink(missing_ok=True)
        cli.ok("env", "shop", "--for", driver, "--write", ".env")
        found = json.loads(cli.run("--json", "env", "check", "--for", driver).stdout)["findings"]
        bad = {one["id"] for one in found if one["verdict"] in {"fail", "unknown"}}
        assert bad == {"env.example"}
    (cli.folder / ".env").write_text("PGUSER=postgres\nPGPASSWORD=short\n")
    found = json.loads(cli.run("--json", "env", "check", "--for", "libpq").stdout)["findings"]
    bad = {one["id"] for one in found if one["verdict"] == "fail"}
    assert {"env.login", "env.password-length", "env.complete"} <= bad


def test_a_file_for_another_driver_is_told(cli: Cli) -> None:
    cli.write("postgres: {port: PORT1}\napps: {shop: {postgres: shop}, mail: {postgres: mail}}\n")
    context = opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())

    def remedy(*words: str) -> str:
        found = json.loads(cli.run("--json", "env", "check", *words).stdout)["findings"]
        return str(next(one["remedy"] for one in found if one["id"] == "env.complete"))

    cli.ok("env", "shop", "--for", "sqlalchemy-asyncpg", "--write", "my.env")
    told = remedy("my.env", "--app", "shop")
    assert "mngdb env check my.env --for sqlalchemy-asyncpg" in told
    for driver in ("django", "jdbc", "node", "libpq"):
        (cli.folder / "my.env").unlink()
        cli.ok("env", "shop", "--for", driver, "--write", "my.env")
        named = remedy("my.env", "--app", "shop").partition(":")[0]
        assert driver in re.split(r", | or | ", named)
        assert "sqlalchemy-asyncpg" not in named
    (cli.folder / "my.env").write_text("POSTGRES_USER=shop\n")
    assert remedy("my.env") == "mngdb env shop --write my.env"
    assert remedy("my.env", "--app", "shop", "--app", "mail") == "mngdb env APP --write my.env"


def test_what_is_meant_for_a_driver_is_one() -> None:
    assert {*driver_names.DRIVER_OF.values()} <= {*DRIVERS}
    assert not driver_names.DRIVER_OF.keys() & {*DRIVERS}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--for", "django", "shop"], "mngdb env APP --for …"),
        (["--write", ".env", "shop"], "mngdb env APP --write …"),
        (["shop", "--for", "djnago"], "did you mean 'django'?"),
        (["shop", "--for", "Spring"], "did you mean 'spring'?"),
        (["shop", "--for", "ioredis,jdbc"], "repeat --for"),
        (["shop", "--for", "bullmq"], "did you mean 'ioredis'?"),
        (["shop", "--for", "celery"], "'for' stands beside 'env'"),
        (["check", "--for", "shell"], "unknown driver 'shell'"),
    ],
)
def test_words_that_hands_type(words: list[str], said: str) -> None:
    with pytest.raises((click.UsageError, UsageError)) as caught:
        command.main(["env", *words], standalone_mode=False)
    assert said in str(caught.value) + str(getattr(caught.value, "hint", ""))


def test_the_file_that_is_written(cli: Cli) -> None:
    cli.write("redis: {port: PORT1}\napps: {shop: {redis: 's:*'}, mail: {redis: 'm:*'}}\n")
    context = opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())
    path = cli.folder / ".env"
    subprocess.run(["git", "init", "-q"], cwd=cli.folder, check=True)
    done = cli.run("env", "shop", "--write", ".env")
    assert "mode 0600" in done.stdout
    assert "git does not ignore .env\n  hint: echo .env >> .gitignore" in done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert dotenv.dotenv_values(path) == cli.env_of("shop")
    (cli.folder / ".gitignore").write_text(".env\n")
    path.write_text("# mine\nDEBUG=1\n\nexport REDIS_URL=old\nREDIS_URL=older\nLAST=2")
    path.chmod(0o644)
    assert cli.json("env", "shop", "--for", "node", "--write", ".env")["ignored"] is True
    text = path.read_text()
    assert text.startswith("# mine\nDEBUG=1\n\nexport REDIS_URL='redis://shop:")
    assert "\nLAST=2\nREDIS_HOST=" in text
    assert text.count("REDIS_URL=") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    other = cli.run("env", "mail", "--write", ".env")
    assert other.returncode == 2
    assert ".env has the variables of shop" in other.stderr
    assert path.read_text() == before
    path.write_text("A=1\nB='open\n")
    open_quote = cli.run("env", "shop", "--write", ".env")
    assert (open_quote.returncode, path.read_text()) == (2, "A=1\nB='open\n")
    assert ".env:2: cannot be read" in open_quote.stderr
    assert cli.run("env", "shop", "--for", "client", "--for", "node").returncode == 2
    assert "not a directory" in cli.run("env", "shop", "--write", "nowhere/.env").stderr
    (cli.folder / "link").symlink_to("elsewhere")
    assert cli.run("env", "shop", "--write", "link").returncode == 2
    assert not (cli.folder / "elsewhere").exists()


@pytest.mark.parametrize(
    "line",
    [
        *("A='x$y'", "A='a b' # c", 'A="a b"', "export A=1", "A=", "A=postgres://u@h/d", "A=a#b"),
        *('A="${B}/c"', "A=${B:-x}", "A=a~b", "A='a\\d'", "A={a}"),
    ],
)
def test_what_all_readers_read_alike(line: str) -> None:
    assert unambiguous(line)
    assert unambiguous(line + "\n")
    shell = subprocess.run(
        ["bash", "-c", f"B=b\n{line}\nprintf %s \"$A\""], capture_output=True, text=True, check=True
    )  # fmt: skip
    found = dotenv.dotenv_values(stream=io.StringIO(f"B=b\n{line}\n"))
    assert found["A"] == shell.stdout


@pytest.mark.parametrize(
    "line",
    [
        *("A=$B", 'A="$B"', "A = b", "A= b", "A=a b", "A=a&b", "A=a;b", "A='${B}'", 'A="a\\n"'),
        *("A='a\\\\b'", "A=a\\b", "A=`b`", 'A="`b`"', "A=~/x", "A=b:~", "A=a'b'", "A=1\r\n"),
        *('A={"a": 1}', "A=(a)", "A=${B?x}", "A=$(b)"),
    ],
)
def test_what_readers_read_differently(line: str) -> None:
    assert not unambiguous(line)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=30))
def test_what_is_quoted_is_read_alike(value: str) -> None:
    text = quoted(value)
    if text is None:
        return
    assert unambiguous(f"A={text}")
    found = dotenv.dotenv_values(stream=io.StringIO(f"A={text}\n"))
    assert found["A"] == value


@pytest.mark.parametrize(
    ("value", "user", "password", "local", "encrypts"),
    [
        ("postgresql+asyncpg://a:b@db.example/c?ssl=verify-full", "a", "b", False, True),
        ("postgresql+psycopg2://a:b@127.0.0.1/c", "a", "b", True, False),
        ("jdbc:postgresql://db.example:5432/c?user=a&password=b%26", "a", "b&", False, False),
        ("jdbc:postgresql://db.example/c?sslmode=verify-full", "", None, False, True),
        ("postgresql:///app?host=/var/run/postgresql", "", None, True, False),
        ("postgresql://a:b@/app?host=/cloudsql/x", "a", "b", True, False),
        ("asyncpg://a:b@db.example/c", "a", "b", False, False),
        ("postgresql://a@db.example/c?sslmode=require&sslaccept=strict", "a", None, False, True),
    ],
)
def test_dialects_are_read(
    value: str, user: str, password: str | None, local: bool, encrypts: bool
) -> None:
    assert uris.is_uri(value)
    found = uris.read(value)
    assert (found.wrong, found.engine, found.encoded) == ("", "postgres", True)
    assert (found.user, found.password) == (user, password)
    assert (found.local, found.encrypts) == (local, encrypts)


def test_what_is_no_uri_of_an_engine() -> None:
    assert not uris.is_uri("jdbc:mysql://a/b")
    assert not uris.is_uri("mysql+asyncpg://a/b")
    assert uris.read("jdbc:postgresql://h/c?password=a%zz").encoded is False
    assert uris.read("postgresql://a:b@:70000/c").wrong
