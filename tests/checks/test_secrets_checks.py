"""Each check of secrets on what makes it pass and on what makes it fail: real files, repositories,
processes, certificates."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from mngdb.checks import registry, strength
from mngdb.findings import Finding
from mngdb.literals import placeholder
from mngdb.ops.rotate.note import Entry, keep
from mngdb.secret import generate
from mngdb.targets.local.runner import LocalRunner
from tests.checks.judge import findings, one, opened
from tests.conftest import Cli
from tests.live.clients import brought_up

pytestmark = pytest.mark.live

#: Of a vault in AWS: tests/live/test_vault_aws.py.
ELSEWHERE = {"secrets.policy"}
IDS = [
    check.id
    for check in registry.of("secrets")
    if check.id not in ELSEWHERE and not check.on_request
]
FILE = (
    "redis: {port: PORT1}\npostgres: {port: PORT2, tls: true}\n"
    "apps: {shop: {redis: 'shop:*', postgres: shop}}\nvault: {path: vault}\n"
)
stack = brought_up(FILE)


def git(stack: Cli, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *who, *words], cwd=stack.folder, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def repository(stack: Cli) -> Iterator[Cli]:
    """The stack in a new repository, as a team has it: the file and a .gitignore."""
    (stack.folder / ".gitignore").write_text(".env\nvault/\n")
    git(stack, "init", "-q")
    git(stack, "add", "mngdb.yaml", ".gitignore")
    git(stack, "commit", "-qm", "the databases")
    yield stack
    shutil.rmtree(stack.folder / ".git")
    (stack.folder / ".gitignore").unlink()
    (stack.folder / ".env").unlink(missing_ok=True)


def secret(stack: Cli, name: str = "redis_shop") -> Path:
    given = stack.folder / "vault"
    return (given if given.exists() else stack.state / "secrets") / name


@contextmanager
def instead(path: Path, text: str) -> Iterator[None]:
    """A secret of this text for a while."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def failed(stack: Cli, name: str) -> str:
    """The evidence of a check that has to fail, without any secret."""
    found = one(stack, name)
    assert found.verdict == "fail", found
    for path in filter(Path.is_file, secret(stack).parent.iterdir()):
        value = path.read_text().strip()
        assert not value or value not in found.evidence
    return found.evidence


@pytest.fixture(scope="module")
def good(stack: Cli) -> dict[str, Finding]:
    (stack.folder / ".gitignore").write_text(".env\nvault/\n")
    git(stack, "init", "-q")
    git(stack, "add", "mngdb.yaml", ".gitignore")
    git(stack, "commit", "-qm", "the databases")
    (stack.folder / ".env").write_text("A=b\n")
    (stack.folder / ".env").chmod(0o600)
    try:
        return findings(stack, "secrets.*")
    finally:
        shutil.rmtree(stack.folder / ".git")
        for name in (".env", ".gitignore"):
            (stack.folder / name).unlink()


@pytest.mark.parametrize("name", IDS)
def test_it_passes_on_a_stack_of_ours(good: dict[str, Finding], name: str) -> None:
    assert good[name].verdict == "pass", good[name]


def test_there_are_enough_and_none_twice(good: dict[str, Finding]) -> None:
    assert len(IDS) == len(set(IDS)) == len(good.keys() - ELSEWHERE) >= 18


def test_a_folder_that_others_may_enter(stack: Cli) -> None:
    for path in (stack.state / "tls", stack.folder / "vault"):
        path.chmod(0o755)
        try:
            assert str(path) in failed(stack, "secrets.folder")
        finally:
            path.chmod(0o700)


def test_a_file_that_others_may_read(stack: Cli) -> None:
    secret(stack).chmod(0o640)
    try:
        assert "redis_shop (640)" in failed(stack, "secrets.files")
        done = stack.run("check", "--only", "redis.version", "--only", "secrets.files")
        assert done.returncode == 1
        assert " 0 unknown" in done.stdout  # the server is asked with another one
    finally:
        secret(stack).chmod(0o600)


def test_a_secret_that_is_missing(stack: Cli) -> None:
    aside = stack.folder / "aside"
    secret(stack).rename(aside)
    try:
        assert failed(stack, "secrets.present") == "redis_shop"
    finally:
        aside.rename(secret(stack))


@pytest.mark.parametrize("text", ["", "\n", "two words of some length, and a comma", "zwölf" * 8])
def test_a_secret_that_cannot_be_used(stack: Cli, text: str) -> None:
    with instead(secret(stack), text):
        assert "redis_shop" in failed(stack, "secrets.usable")


def test_a_secret_in_whose_place_is_something_else(stack: Cli) -> None:
    text = secret(stack).read_text()
    secret(stack).unlink()
    os.mkfifo(secret(stack), 0o600)
    try:
        assert "is not a regular file" in failed(stack, "secrets.usable")
    finally:
        secret(stack).unlink()
        secret(stack).write_text(text)
        secret(stack).chmod(0o600)


def test_a_short_secret(stack: Cli) -> None:
    with instead(secret(stack), "kD8-vm3_Qx0.pL7"):
        assert failed(stack, "secrets.length") == "redis_shop (15)"


@pytest.mark.parametrize(
    "text", ["your-strong-password-here-9876543", "changeme", "<redis-secret>", "admin123", "${X}"]
)
def test_a_word_that_stands_for_a_secret(stack: Cli, text: str) -> None:
    with instead(secret(stack), text):
        assert failed(stack, "secrets.placeholder") == "redis_shop"


@pytest.mark.parametrize("text", ["x7" * 20, "a" * 32, "aabbaabababbabab" * 2 + "ab", "abcdefghij"])
def test_a_secret_that_is_long_and_simple(stack: Cli, text: str) -> None:
    with instead(secret(stack), text):
        assert "redis_shop" in failed(stack, "secrets.strength")


def test_what_is_random_is_never_called_weak() -> None:
    for _ in range(2000):
        value = generate().reveal()
        assert not placeholder(value), value
        assert strength.guessable(value) is None, value


def test_two_logins_with_one_secret(stack: Cli) -> None:
    with instead(secret(stack), secret(stack, "postgres_shop").read_text()):
        assert set(failed(stack, "secrets.shared").split(" = ")) == {"redis_shop", "postgres_shop"}


def test_an_old_secret(stack: Cli) -> None:
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=400)
    os.utime(secret(stack), (then.timestamp(), then.timestamp()))
    try:
        assert failed(stack, "secrets.age") == "redis_shop (400 days)"
    finally:
        os.utime(secret(stack))


def test_a_rotation_that_does_not_end(stack: Cli) -> None:
    begun = time.time() - 30 * 3600
    waits = Entry("redis_shop", "redis", "shop", "waiting", begun, 900.0)
    keep(stack.state, [waits, replace(waits, secret="redis_admin", begun=begun + 29.5 * 3600)])
    try:
        assert failed(stack, "secrets.rotations") == "redis_shop (begun 30 h ago)"
    finally:
        keep(stack.state, [])


def test_a_secret_that_nobody_uses(stack: Cli) -> None:
    secret(stack, "redis_gone").touch(0o600)
    try:
        assert failed(stack, "secrets.unused") == "redis_gone"
        up, _, remove = one(stack, "secrets.unused").remedy.partition(" && ")
        stack.ok(*shlex.split(up)[1:])
        subprocess.run(shlex.split(remove), check=True)
        assert one(stack, "secrets.unused").verdict == "pass"
    finally:
        secret(stack, "redis_gone").unlink(missing_ok=True)


def test_no_repository_is_no_matter(stack: Cli) -> None:
    names = ("secrets.ignored", "secrets.tracked", "secrets.committed", "secrets.history")
    assert {found.verdict for found in findings(stack, *names).values()} == {"not_applicable"}


def test_what_git_would_take_in(repository: Cli) -> None:
    (repository.folder / ".gitignore").write_text("# nothing\n")
    (repository.folder / ".env").write_text("A=b\n")
    assert set(failed(repository, "secrets.ignored").split(", ")) == {"vault", ".env"}
    git(repository, "add", ".env")
    assert ".env" in failed(repository, "secrets.tracked")


def test_what_git_once_took_in(repository: Cli) -> None:
    git(repository, "add", "-f", "vault/redis_shop")
    git(repository, "commit", "-qm", "oops")
    assert failed(repository, "secrets.tracked") == "vault/redis_shop"
    git(repository, "rm", "-q", "--cached", "vault/redis_shop")
    git(repository, "commit", "-qm", "nobody has seen it")
    found = findings(repository, "secrets.*")
    assert found["secrets.tracked"].verdict == "pass"
    assert failed(repository, "secrets.committed") == "vault/redis_shop"
    assert "redis_shop in vault/redis_shop (" in failed(repository, "secrets.history")


def test_an_env_file_on_another_branch(repository: Cli) -> None:
    git(repository, "checkout", "-qb", "old")
    (repository.folder / "api").mkdir()
    (repository.folder / "api/.env.production").write_text("PASSWORD=x\n")
    (repository.folder / "api/.env.example").write_text("PASSWORD=\n")
    git(repository, "add", "-f", "api")
    git(repository, "commit", "-qm", "api")
    git(repository, "checkout", "-q", "main")
    assert failed(repository, "secrets.committed") == "api/.env.production"


def test_keys_that_were_committed_and_removed(repository: Cli) -> None:
    key = "-----BEGIN EC " + "PRIVATE KEY-----\nMHcCAQ\n"
    for name, text in (
        ("server.key", key),
        ("deploy/ca.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n"),
        ("deploy/both é.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n" + key),
        ("slides.key", "not a key"),
        ("tests/tls/server.key", key),
    ):
        path = repository.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "keys")
    git(repository, "rm", "-qr", "server.key", "deploy")
    git(repository, "commit", "-qm", "gone")
    assert failed(repository, "secrets.committed") == "deploy/both é.pem, server.key"


def test_a_secret_in_the_history(repository: Cli) -> None:
    notes = repository.folder / "notes é.txt"
    notes.write_text(f"redis-cli -a {secret(repository).read_text()}\n")
    git(repository, "add", notes.name)
    git(repository, "commit", "-qm", "how to")
    git(repository, "rm", "-qf", notes.name)
    git(repository, "commit", "-qm", f"not {secret(repository, 'postgres_shop').read_text()}")
    found = failed(repository, "secrets.history")
    assert "redis_shop in notes é.txt (" in found
    assert "postgres_shop in the message of commit " in found
    assert one(repository, "secrets.committed").verdict == "pass"


def test_a_part_of_the_history_proves_nothing(repository: Cli, tmp_path: Path) -> None:
    git(repository, "config", "uploadpack.allowFilter", "true")
    shallow = {"secrets.committed": "unknown", "secrets.history": "unknown"}
    for how, said, verdicts in (
        ("--depth=1", "shallow", shallow),
        ("--filter=blob:none", "partial", shallow | {"secrets.committed": "pass"}),
    ):
        clone = Cli(tmp_path / said)
        source = f"file://{repository.folder}"
        subprocess.run(["git", "clone", "-q", how, source, str(clone.folder)], check=True)
        clone.write((repository.folder / "mngdb.yaml").read_text())
        (clone.folder / "vault").symlink_to(repository.folder / "vault")
        for name, verdict in verdicts.items():
            found = one(clone, name)
            assert found.verdict == verdict, found
            assert (f"the clone is {said}" in found.evidence) == (verdict == "unknown")


def test_git_that_is_missing_or_refuses_is_unknown(
    repository: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text(
        "#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n"
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = one(repository, "secrets.history")
    assert (found.verdict, "dubious ownership" in found.evidence) == ("unknown", True)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    found = one(repository, "secrets.history")
    assert (found.verdict, "git is not installed" in found.evidence) == ("unknown", True)


@pytest.mark.parametrize(
    "name", ["compose.yaml", ".github/workflows/deploy.yml", ".gitlab-ci.yml", "deploy.sh"]
)
def test_a_secret_in_a_file_beside_it(stack: Cli, name: str) -> None:
    path = stack.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"REDIS_URL: redis://shop:{secret(stack).read_text()}@redis:6379\n")
    try:
        assert failed(stack, "secrets.beside") == f"redis_shop in {path}"
    finally:
        path.unlink()


def test_a_common_word_is_not_searched_for(stack: Cli) -> None:
    with instead(secret(stack, "postgres_admin"), "postgres"):  # the file has this key
        found = one(stack, "secrets.beside")
        assert (found.verdict, "postgres_admin" in found.evidence) == ("pass", True), found
        assert one(stack, "secrets.arguments").verdict == "pass"


def test_a_secret_of_signs_is_found_as_urls_hold_it(stack: Cli) -> None:
    path = stack.folder / "compose.yaml"
    with instead(secret(stack), "p@ss/w0rd?with#many&signs+that:are;encoded"):
        path.write_text("p%40ss%2Fw0rd%3Fwith%23many%26signs%2Bthat%3Aare%3Bencoded\n")
        try:
            assert "redis_shop in" in failed(stack, "secrets.beside")
        finally:
            path.unlink()


def test_an_app_that_has_its_own_secret_from_env_is_not_accused(stack: Cli) -> None:
    own = stack.env_of("shop")
    with subprocess.Popen(["sleep", "60"], env=os.environ | own) as child:
        shown(child)
        assert one(stack, "secrets.environments").verdict == "pass"
        child.kill()
    # nor is who asks: README's own `set -a; . <(mngdb env shop)`, and an administrator's shell
    admin = {"PGPASSWORD": secret(stack, "postgres_admin").read_text()}
    asking = Cli(stack.folder, stack.env | own | admin)
    assert one(asking, "secrets.environments").verdict == "pass"


def test_a_secret_in_arguments_and_environments(stack: Cli) -> None:
    value = secret(stack, "redis_admin").read_text()
    waiting = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    for argv, env, name in (
        ([*waiting, f"redis://shop:{value}@h"], {}, "secrets.arguments"),
        (waiting, {"REDIS_PASSWORD": value}, "secrets.environments"),
    ):
        with subprocess.Popen(argv, env=os.environ | env, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            found = failed(stack, name)
            child.kill()
        assert f"(pid {child.pid})" in found
        assert "redis_admin in python" in found


def test_a_secret_in_a_log(stack: Cli) -> None:
    context = opened(stack)
    log = LocalRunner.of(context.stack).layout.unit("mng-redis").log
    size = log.stat().st_size
    with log.open("a") as handle:
        handle.write(f"x\nconnect redis://shop:{secret(stack).read_text()}@h\n")
    try:
        assert failed(stack, "secrets.logs") == f"redis_shop in {log}"
    finally:
        os.truncate(log, size)


def test_an_env_file_that_others_can_read(stack: Cli) -> None:
    path = stack.folder / ".env.local"
    path.touch()
    path.chmod(0o644)
    try:
        assert failed(stack, "secrets.dotenv") == ".env.local (644)"
    finally:
        path.unlink()


@pytest.mark.parametrize("which", ["server", "authority"])
def test_a_private_key_that_others_can_read(stack: Cli, which: str) -> None:
    conf = LocalRunner.of(opened(stack).stack).layout.unit("mng-pg").conf
    path = conf / "tls.pem" if which == "server" else stack.state / "tls/ca.key"
    path.chmod(0o644)
    try:
        assert str(path) in failed(stack, "secrets.keys")
    finally:
        path.chmod(0o600)


def ending(days: int) -> bytes:
    """A certificate that still holds for so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        .public_key(key.public_key()).not_valid_before(now - dt.timedelta(days=90))
        .not_valid_after(now + dt.timedelta(days=days, hours=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM)


def test_a_certificate_that_ends_soon(stack: Cli) -> None:
    path = LocalRunner.of(opened(stack).stack).layout.unit("mng-pg").conf / "tls.pem"
    before = path.read_bytes()
    try:
        for days, verdict in ((10, "fail"), (31, "pass"), (-5, "fail")):
            path.write_bytes(ending(days))
            found = one(stack, "secrets.certificates")
            assert found.verdict == verdict
            assert f"{days} days" in found.evidence
        path.write_text("no certificate\n")
        assert one(stack, "secrets.certificates").verdict == "unknown"
    finally:
        path.write_bytes(before)


def test_a_certificate_of_the_users_own_is_not_for_up_to_renew(cli: Cli) -> None:
    cli.write("target: compose\nredis: {tls: true}\nagent: false\n")
    cli.ok("render", "compose")
    cli.write(
        "target: compose\nredis: {tls: true}\nagent: false\n"
        "sso: {issuer: 'https://keycloak.example/realms/x'}\n"
        "redisinsight: {url: 'https://page.example', accept_terms: true,"
        " certificate: {certificate: page.pem, key: page.pem}}\n"
    )
    (cli.folder / "page.pem").write_bytes(ending(-5))
    assert one(cli, "secrets.certificates").verdict == "pass"


def test_no_output_holds_a_secret(repository: Cli) -> None:
    value = secret(repository).read_text()
    (repository.folder / "deploy.sh").write_text(f"redis-cli -a {value}\n")
    git(repository, "add", "deploy.sh")
    git(repository, "commit", "-qm", value)
    try:
        with subprocess.Popen(["sleep", "60"], env={"A": value}) as child:
            shown(child)
            for form in ("table", "json", "html"):
                done = repository.run("check", "--only", "secrets.*", "--format", form)
                assert done.returncode == 1
                assert "redis_shop" in done.stdout
                assert value not in done.stdout + done.stderr
            child.kill()
    finally:
        (repository.folder / "deploy.sh").unlink()


def test_a_stack_in_containers(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    text = FILE.replace(", tls: true", "").replace("vault: {path: vault}\n", "")
    cli.write(f"target: {{compose: {{folder: compose}}}}\n{text}")
    context = opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())
    found = findings(cli, "secrets.*", "host.*")
    assert {found[name].verdict for name in found if name.startswith("host.")} == {"not_applicable"}
    wanted = {"pass", "not_applicable"}
    assert {found[name].verdict for name in found if name.startswith("secrets.")} == wanted
    git(cli, "init", "-q")
    # until the folder is rendered
    assert failed(cli, "secrets.ignored") == "compose/secrets, compose/conf, compose/init"
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose/.gitignore").write_text("secrets/\nconf/\ninit/\n")
    assert one(cli, "secrets.ignored").verdict == "pass"


def shown(child: subprocess.Popen[bytes]) -> None:
    """Wait for its environment: the kernel shows it a moment after the program has begun."""
    path = Path(f"/proc/{child.pid}/environ")
    end = time.monotonic() + 60
    while b"sleep" not in path.with_name("cmdline").read_bytes() or not path.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.01)
