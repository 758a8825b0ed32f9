"""`mngdb env check` and `env example` on real files and repositories. No server is needed: what an
app needs follows from the file and the vault."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import dotenv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mngdb.checks import registry, uris
from mngdb.errors import UsageError
from mngdb.findings import Finding
from mngdb.ops import variables
from mngdb.ops.env_check import env_check, env_example
from mngdb.secret import generate
from tests.checks.judge import opened
from tests.conftest import Cli

IDS = [check.id for check in registry.of("env")]
FILE = (
    "redis: {port: PORT1}\npostgres: {port: PORT2}\nmongodb: {port: PORT3}\n"
    "apps: {shop: {redis: 'shop:*', postgres: shop, mongodb: shop}, mail: {redis: 'mail:*'}}\n"
)
AWS = "USE_AWS_SECRETS=true\nAWS_REGION=us-east-1\nAWS_SECRET_NAME=a/b\n"


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


class Env:
    """An app's .env in a repository, as it should be."""

    def __init__(self, cli: Cli) -> None:
        self.cli, self.folder = cli, cli.folder
        cli.write(FILE)
        context = opened(cli)
        context.claim()
        context.make_secrets(context.missing_secrets())
        self.values = variables.env(context, "shop")
        self.path = cli.folder / ".env"
        lines = [variables.dotenv(name, value) for name, value in self.values.items()]
        self.write("\n".join(lines) + "\n" + AWS + "AWS_SECRETS_FAIL_OPEN=false\n")
        env_example(context, cli.folder / ".env.example", ["shop"], False)
        with (cli.folder / ".env.example").open("a") as example:
            example.write(AWS + "AWS_SECRETS_FAIL_OPEN=false\n")
        (cli.folder / ".gitignore").write_text(".env\n")
        git(cli.folder, "init", "-q")
        git(cli.folder, "add", ".env.example", ".gitignore")
        git(cli.folder, "commit", "-qm", "first")

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self.path.chmod(0o600)

    def change(self, pattern: str, by: str) -> None:
        text = self.path.read_text()
        # a function, so that signs in the replacement mean themselves
        changed = re.sub(pattern, lambda match: match.expand(by), text, flags=re.MULTILINE)
        assert changed != text
        self.write(changed)

    def findings(self, *apps: str) -> dict[str, Finding]:
        report = env_check(opened(self.cli), self.path, apps)
        return {one.id: one for one in report.findings}

    def failed(self, name: str) -> str:
        found = self.findings()[name]
        assert found.verdict == "fail", found
        for path in (self.cli.state / "secrets").glob("*_*"):
            assert path.read_text() not in found.evidence
        return found.evidence


@pytest.fixture
def env(tmp_path: Path) -> Env:
    return Env(Cli(tmp_path))


def test_how_long_the_secrets_of_others_are_is_their_matter(env: Env) -> None:
    env.path.write_text(
        env.path.read_text() + "STRIPE_API_KEY=Kd8vm3Qx0aB1\nSMTP_PASSWORD=Kd8vm3\n"
    )
    assert env.findings()["env.password-length"].verdict == "pass"


def test_what_stays_between_containers_leaves_no_machine(cli: Cli) -> None:
    cli.write("target: compose\npostgres: {}\napps: {shop: {postgres: shop}}\n")
    text = "POSTGRES_URL=postgresql://shop:" + "x1" * 20 + "@mng-pg:5432/shop\n"
    (cli.folder / ".env").write_text(text)

    def verdict() -> str:
        found = env_check(opened(cli), cli.folder / ".env", []).findings
        return next(one.verdict for one in found if one.id == "env.tls")

    assert verdict() == "not_applicable"
    (cli.folder / ".env").write_text(text.replace("mng-pg", "db.example"))
    assert verdict() == "fail"


def test_all_pass_on_what_env_prints(env: Env) -> None:
    found = env.findings()
    assert list(found) == IDS
    assert len(set(IDS)) == len(IDS) >= 20
    apart = {name for name, one in found.items() if one.verdict == "not_applicable"}
    assert apart == {"env.tls"}  # it never leaves the machine; see below
    assert {one.verdict for name, one in found.items() if name not in apart} == {"pass"}


@pytest.mark.parametrize(
    ("name", "pattern", "by", "evidence"),
    [
        ("env.readable", r"^REDIS_DB=.*", 'REDIS_DB="0', "line "),
        ("env.readable", r"^REDIS_DB=.*", "1DB=0", "line "),
        ("env.unambiguous", r"^REDIS_DB=.*", 'REDIS_DB="$HOME"', "REDIS_DB"),
        ("env.unambiguous", r"^REDIS_DB=.*", "REDIS_DB = 0", "REDIS_DB"),
        ("env.duplicates", r"^REDIS_DB=.*", r"\g<0>\n\g<0>", "REDIS_DB"),
        ("env.complete", r"^REDIS_DB=.*\n", "", "REDIS_DB (shop)"),
        ("env.empty", r"^REDIS_HOST=.*", "REDIS_HOST=", "REDIS_HOST"),
        ("env.current", r"^POSTGRES_PORT=.*", "POSTGRES_PORT=1", "POSTGRES_PORT"),
        ("env.current", r"^REDIS_PASSWORD='(.*)'", r"REDIS_PASSWORD=\1x", "REDIS_PASSWORD"),
        ("env.uris", r"^REDIS_URL=.*", "REDIS_URL=redis://shop:x@:6379", "REDIS_URL has no host"),
        ("env.uris", r"^REDIS_URL=.*", "REDIS_URL=127.0.0.1:6379", "REDIS_URL is not a"),
        ("env.uris", r"^MONGO_URI='mongodb://", "MONGO_URI='mongodb+srv://", "+srv"),
        ("env.uris", r"^(POSTGRES_URL=.*):\d+/", r"\1:99999/", "invalid port"),
        ("env.encoding", r"^(REDIS_URL='redis://shop:)", r"\1p@ss/w?rd#", "REDIS_URL"),
        ("env.encoding", r"^(REDIS_URL='redis://shop:)", r"\g<1>100%zz", "REDIS_URL"),
        ("env.retry-writes", r"retryWrites=true", "retryWrites=false", "MONGO_URI: retryWrites"),
        ("env.write-concern", r"&w=majority", "", "MONGO_URI: w is missing"),
        ("env.pool", r"^MONGO_POOL_SIZE=.*", "MONGO_POOL_SIZE=5000", "MONGO_POOL_SIZE"),
        ("env.pool", r"&w=majority", "&w=majority&maxPoolSize=0", "MONGO_URI: maxpoolsize"),
        ("env.connect-timeout", r"^(MONGO_CONNECT_TIMEOUT_MS)=.*", r"\1=0", "MONGO_CONNECT_TIMEO"),
        ("env.socket-timeout", r"^(MONGO_SOCKET_TIMEOUT_MS)=.*", r"\1=45s", "MONGO_SOCKET_TIMEOUT"),
        ("env.password-length", r"^REDIS_PASSWORD=.*", "REDIS_PASSWORD=Kd8.vm3-Qx0", "D (11)"),
        ("env.password-length", r"^(REDIS_URL='redis://shop:).*@", r"\1Kd8.vm3@", "REDIS_URL (7)"),
        ("env.password-strength", r"^(JWT|REDIS_DB)=.*", "JWT_SECRET=" + "xy" * 30, "JWT_SECRET"),
        ("env.placeholder", r"^REDIS_PASSWORD=.*", "REDIS_PASSWORD=changeme", "REDIS_PASSWORD"),
        ("env.placeholder", r"^(REDIS_URL='redis://shop:).*@", r"\1your-password@", "REDIS_URL"),
        ("env.login", r"^POSTGRES_USER=.*", "POSTGRES_USER=postgres", "POSTGRES_USER"),
        ("env.login", r"^(REDIS_URL='redis://)shop", r"\1default", "REDIS_URL"),
        ("env.login", r"^(REDIS_URL='redis://)shop", r"\1", "REDIS_URL"),
        ("env.tls", r"^(MONGO_URI=.*)@127.0.0.1:", r"\1@db.example:", "MONGO_URI"),
        ("env.tls", r"^(REDIS_URL=.*)@127.0.0.1:", r"\1@cache.example:", "REDIS_URL"),
        ("env.aws", r"^AWS_REGION=.*\n", "", "AWS_REGION"),
        ("env.aws", r"^AWS_SECRETS_FAIL_OPEN=.*\n", "", "FAIL_OPEN is not false"),
        ("env.example", r"^REDIS_DB=.*", r"\g<0>\nNEW_ONE=1", "without NEW_ONE"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(env: Env, name: str, pattern: str, by: str, evidence: str) -> None:
    env.change(pattern, by)
    assert evidence in env.failed(name)


def test_the_file_itself(env: Env) -> None:
    env.path.chmod(0o640)
    assert env.failed("env.file-mode") == ".env: mode 640"
    env.path.chmod(0o600)
    (env.folder / ".gitignore").write_text("")
    assert env.failed("env.ignored")
    git(env.folder, "add", "-f", ".env")
    git(env.folder, "commit", "-qm", "oops")
    git(env.folder, "rm", "-q", "--cached", ".env")
    git(env.folder, "commit", "-qm", "gone")
    assert env.failed("env.committed") == ".env"


def test_the_example(env: Env) -> None:
    example = env.folder / ".env.example"
    text = example.read_text()
    for name in ("REDIS_PASSWORD", "REDIS_URL"):
        example.write_text(text.replace(f"{name}='", f"{name}='{env.values[name]}' #"))
        assert env.failed("env.example-clean") == name
    example.write_text(text + "JWT_SECRET=" + generate().reveal() + "\n")
    assert env.failed("env.example-clean") == "JWT_SECRET"
    example.unlink()
    assert env.failed("env.example") == "there is none"


@pytest.mark.parametrize(
    ("pattern", "by", "verdict"),
    [
        (r"@127.0.0.1:\d+(.*)=disable", r"@db.example\1=verify-full", "pass"),
        (r"@127.0.0.1:\d+(.*)=disable", r"@db.example\1=require", "fail"),
        (r"redis://(.*)@127.0.0.1:\d+/0", r"rediss://\1@cache.example/0", "pass"),
        (r"redis://(.*)@127.0.0.1:\d+/0", r"rediss://\1@c.example/0?ssl_cert_reqs=none", "fail"),
        (r"@127.0.0.1:\d+/shop\?auth", "@db.example/shop?tls=true&auth", "fail"),
        (r"^MONGO_USE_TLS=.*", "MONGO_USE_TLS=true", "not_applicable"),
    ],
)  # fmt: skip
def test_encryption_where_it_leaves_the_machine(
    env: Env, pattern: str, by: str, verdict: str
) -> None:
    env.change(pattern, by)
    found = env.findings()["env.tls"]
    assert found.verdict == verdict, found
    if "tls=true" in by:
        env.change(r"^MONGO_USE_TLS=.*", "MONGO_USE_TLS=true")
        assert env.findings()["env.tls"].verdict == "pass"


@pytest.mark.parametrize("how", ["export", "crlf", "bom", "quotes", "comments", "spaces", "refers"])
def test_every_way_of_writing_it_is_read(env: Env, how: str) -> None:
    text = env.path.read_text()
    ways: dict[str, Callable[[], str]] = {
        "export": lambda: re.sub(r"^", "export ", text.rstrip(), flags=re.MULTILINE),
        "crlf": lambda: text.replace("\n", "\r\n"),
        "bom": lambda: "\ufeff" + text,
        "quotes": lambda: text.replace("'", '"'),
        "comments": lambda: re.sub(r"$", " # so", text.rstrip(), flags=re.MULTILINE),
        "spaces": lambda: re.sub(r"^(\w+)=", r"  \1 = ", text, flags=re.MULTILINE),
        "refers": lambda: text.replace("127.0.0.1", "${DB}").replace("'", '"') + "DB=127.0.0.1\n",
    }
    changed = ways[how]()
    if how == "refers":  # as a shell does: what is referred to stands before
        changed = "DB=127.0.0.1\n" + changed.removesuffix("DB=127.0.0.1\n")
    assert changed != text
    env.path.write_bytes(changed.encode())
    bad = {n: one for n, one in env.findings().items() if one.verdict in {"fail", "unknown"}}
    said = {"refers": "env.example", "crlf": "env.unambiguous", "spaces": "env.unambiguous"}
    assert set(bad) <= {said.get(how, "env.unambiguous" * (how == "bom"))}, bad


def test_a_value_of_many_lines(env: Env) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nabc\ndef\n-----END PRIVATE KEY-----"
    env.write(env.path.read_text() + f'JWT_PRIVATE_KEY="{key}"\nAFTER="open\n')
    found = env.findings()
    assert found["env.readable"].evidence == f"line {len(env.path.read_text().splitlines())}"
    assert found["env.duplicates"].verdict == "pass"


def test_remedies_name_the_file_and_what_a_command_can_mend(env: Env) -> None:
    text = env.path.read_text()
    env.path = env.folder / "other.env"
    env.write(text + 'FOO="a b"\r\n')
    env.path.chmod(0o644)
    found = env.findings()
    assert "--write" not in found["env.unambiguous"].remedy  # FOO is not the app's
    assert found["env.file-mode"].remedy == f"chmod 600 {env.path}"
    env.change(r"^POSTGRES_DB=.*", 'POSTGRES_DB="$x"')
    remedy = env.findings("shop", "mail")["env.unambiguous"].remedy
    assert f"'mngdb env APP --write {env.path}' does so for POSTGRES_DB" in remedy
    assert "FOO" not in remedy


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfeA\0", "not a .env file"),
        (b"A=\xff\n", "not UTF-8"),
        (b"A=1\n" * 400_000, "not a .env file"),
    ],
)
def test_what_is_no_env_file_is_refused(env: Env, content: bytes, said: str) -> None:
    env.path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        env.findings()


def test_an_old_password_is_told(env: Env) -> None:
    (env.cli.state / "secrets/redis_shop").write_text(generate().reveal())
    assert env.failed("env.current") == "REDIS_URL, REDIS_PASSWORD"


def test_whose_variables_they_are(env: Env) -> None:
    assert {one.instance for one in env.findings().values()} == {"shop"}
    assert {one.instance for one in env.findings("mail").values()} == {"mail"}
    assert env.findings("mail")["env.current"].verdict == "fail"
    env.write("X=1\n")
    assert "REDIS_URL (mail)" in env.findings("mail")["env.complete"].evidence
    assert {one.instance for one in env.findings().values()} == {"shop, mail"}
    env.write("POSTGRES_USER=mail.2\n")  # the second login of the app
    assert {one.instance for one in env.findings().values()} == {"mail"}
    with pytest.raises(UsageError, match="no app named"):
        env.findings("nobody")


def test_remedies_are_such_as_help(env: Env) -> None:
    give = f"mngdb env shop --write {env.path}"
    stray_line = "POSTGRES_LEGACY_URL='postgres://x:pw@h/d'\n"
    env.write(f"{env.path.read_text()}{stray_line}")
    stray = "change by hand or remove POSTGRES_LEGACY_URL: not of shop"
    assert env.findings("shop")["env.password-length"].remedy == stray
    assert env.findings("shop")["env.tls"].remedy == stray
    env.write(env.path.read_text().replace(stray_line, ""))
    env.change(r"^(REDIS_URL=.*)@127.0.0.1:", r"\1@cache.example:")
    assert env.findings("shop")["env.tls"].remedy.startswith(f"{give}; if that changes nothing")
    env.write(env.path.read_text() + stray_line)
    env.change(r"^REDIS_PASSWORD=.*", "REDIS_PASSWORD='short'")
    both = env.findings("shop")["env.password-length"].remedy
    assert both.startswith(f"{give}; ")
    assert both.endswith(f"'mngdb rotate shop': 40 random characters; {stray}")
    env.write("POSTGRES_URL: x\n")  # 'env --write' refuses the file as it is
    assert env.findings("shop")["env.complete"].remedy == f"correct line 1; then {give}"


@pytest.mark.parametrize("name", ["POSTGRES_DB", "POSTGRES_DATABASE"])
def test_one_of_the_two_names_of_a_database_is_enough(env: Env, name: str) -> None:
    lines = env.path.read_text().splitlines(keepends=True)
    env.write("".join(line for line in lines if not line.startswith(f"{name}=")))
    assert env.findings("shop")["env.complete"].verdict == "pass"


def test_the_command(env: Env) -> None:
    cli = env.cli
    report = cli.json("env", "check")
    assert report["summary"]["fail"] == 0
    assert set(report["findings"][0]) == {
        *("id", "instance", "engine", "title", "severity", "verdict", "evidence", "expected"),
        *("remedy", "sources", "member"),
    }
    assert cli.run("env", "check", "nowhere").returncode == 2
    assert cli.run("env", "check", ".env", "--environment").returncode == 2
    env.change(r"^REDIS_DB=.*\n", "")
    done = cli.run("env", "check", ".env")
    assert done.returncode == 1
    assert "REDIS_DB (shop)" in done.stdout
    (env.cli.state / "secrets/redis_shop").write_text("")
    done = cli.run("env", "check")
    assert done.returncode == 1
    assert " 1 unknown" in done.stdout  # whether the file's password is the vault's


def test_the_environment_is_judged_where_there_is_no_file(env: Env) -> None:
    env.path.unlink()
    env.cli.env |= env.values
    report = env.cli.json("env", "check")
    found = {one["id"]: one["verdict"] for one in report["findings"]}
    assert found["env.complete"] == found["env.current"] == "pass"
    assert found["env.file-mode"] == found["env.example"] == "not_applicable"
    del env.cli.env["REDIS_URL"]
    done = env.cli.run("env", "check", "--environment")
    assert done.returncode == 1
    assert "REDIS_URL (shop)" in done.stdout


def test_no_output_holds_a_secret(env: Env) -> None:
    values = [path.read_text() for path in (env.cli.state / "secrets").glob("*_*")]
    raw = "p@ss?w=rd/zu#viel:Zeug&w=geheim"
    env.change(r"^(MONGO_URI='mongodb://shop:)", rf"\1{raw}")
    env.change(
        r"^(POSTGRES_URL='postgresql://shop):.*", rf"\1:12345678'\nREDIS_X_URL=redis://{raw}"
    )
    for form in ([], ["--json"], ["--all"]):
        done = env.cli.run("env", "check", *form)
        assert done.returncode == 1
        for value in [*values, raw, "geheim", "viel", "12345678"]:
            assert value not in done.stdout + done.stderr


def test_an_app_that_is_called_as_a_command(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("redis: {port: PORT1}\napps: {check: {redis: 'c:*'}, example: {redis: 'e:*'}}\n")
    context = opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())
    for app in ("check", "example"):
        assert cli.json("env", "--", app)["REDIS_USER"] == app
        assert f"REDIS_USER='{app}'" in cli.ok("-f", "mngdb.yaml", "env", "--", app)
    assert cli.run("env").returncode == 2
    assert "no app named 'chek'" in cli.run("env", "chek").stderr


def test_the_example_is_written_once_and_read_by_others(env: Env) -> None:
    cli, path = env.cli, env.folder / ".env.example"
    assert cli.run("env", "example").returncode == 2  # it has other content
    assert "exists already" in cli.run("env", "example").stderr
    cli.ok("env", "example", "--force")
    cli.ok("env", "example")  # the same again
    assert path.stat().st_mode & 0o777 == 0o644
    text = path.read_text()
    assert cli.ok("env", "example", "--output", "-") == text
    assert "# REDIS_URL='redis://mail:REPLACE-ME@" in text
    found = dotenv.dotenv_values(path)
    assert found.keys() == env.values.keys()
    sourced = subprocess.run(
        ["sh", "-c", f". {shlex.quote(str(path))}; echo $REDIS_URL"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sourced.stdout.strip() == found["REDIS_URL"]
    for secret in (env.cli.state / "secrets").glob("*_*"):
        assert secret.read_text() not in text


def test_an_example_needs_no_secret(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write(FILE)
    assert "REPLACE-ME" in cli.ok("env", "example", "--output", "-")
    assert not (tmp_path / ".mngdb").exists()
    report = json.loads(cli.run("--json", "env", "check", "--environment").stdout)
    found = {one["id"]: one["verdict"] for one in report["findings"]}
    assert found["env.current"] == "not_applicable"  # before the first 'up'


@given(st.text(max_size=60), st.sampled_from(sorted(uris.SCHEMES)))
def test_no_text_breaks_the_reader(rest: str, scheme: str) -> None:
    value = f"{scheme}://{rest}"
    assert uris.is_uri(value)
    found = uris.read(value)
    assert isinstance(found.encrypts, bool)
    assert found.engine == uris.SCHEMES[scheme]
    password = found.password or ""
    assert len(password) < 4 or password not in found.wrong


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40))
def test_what_is_encoded_comes_back(password: str) -> None:
    from urllib.parse import quote

    found = uris.read(f"mongodb://u:{quote(password, safe='')}@a.example:1,b.example/db?w=majority")
    assert found.password == password
    assert found.encoded
    assert not found.wrong
    assert found.hosts == ("a.example", "b.example")


def test_for_docker_there_are_no_quotes(env: Env) -> None:
    lines = env.cli.ok("env", "shop", "--for", "docker").splitlines()
    assert dict(line.split("=", 1) for line in lines) == env.cli.env_of("shop")
    assert not any(line.partition("=")[2].startswith(("'", '"')) for line in lines)


@pytest.mark.parametrize("value", ["a'b\"c`$x#y", "#", " a ", "=", ""])
def test_for_docker_every_character_is_the_values(value: str) -> None:
    assert variables.env_file("NAME", value) == f"NAME={value}"


@pytest.mark.parametrize("value", ["a\nb", "a\r", "a\0b"])
def test_for_docker_a_value_that_no_line_holds_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="more than one line"):
        variables.env_file("NAME", value)
