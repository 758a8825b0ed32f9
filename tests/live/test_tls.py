"""TLS on request for PostgreSQL and MongoDB: who gets in, certificates, on and off again (A5)."""

from __future__ import annotations

import configparser
import datetime as dt
import socket
import ssl
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from pymongo.errors import ServerSelectionTimeoutError

from mngdb.targets.process import tls
from tests.conftest import Cli
from tests.live.clients import brought_up, contents, converge, mongo_as, problems, said, url

pytestmark = [pytest.mark.live, pytest.mark.slow]

FILE = """
tls: true
postgres: {port: PORT1}
mongodb: {port: PORT2}
apps: {shop: {postgres: shop, mongodb: shop}}
"""


stack = brought_up(FILE)


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tls.ensure_ca(tmp_path_factory.mktemp("ca"), "other"))


def conf(cli: Cli, unit: str) -> Path:
    return cli.state / "servers" / unit / "conf"


def ca_of(cli: Cli) -> str:
    return cli.env_of("shop")["MONGO_TLS_CA_FILE"]


def mongo(uri: str, seconds: float = 60) -> Any:
    with pymongo.MongoClient[Any](uri, serverSelectionTimeoutMS=int(seconds * 1000)) as client:
        return client["shop"].command("ping")["ok"]


def refusal(uri: str, words: str) -> str:
    """What the driver says of a server that it does not take. On a busy machine it may not have
    tried yet when its time is over."""
    for seconds in (1, 5, 60):
        with pytest.raises(ServerSelectionTimeoutError) as caught:
            mongo(uri, seconds)
        if words in str(caught.value):
            break
    return str(caught.value)


def test_apps_connect_with_what_env_gives_and_verify(stack: Cli) -> None:
    env = stack.env_of("shop")
    assert "sslmode=verify-full" in env["POSTGRES_URL"]
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        row = connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert row.fetchone() in {("TLSv1.3",), ("TLSv1.2",)}
    assert "tls=true" in env["MONGO_URI"]
    assert env["MONGO_USE_TLS"] == "true"
    assert mongo(env["MONGO_URI"]) == 1
    assert problems(stack, "shop") == {"postgres": None, "mongodb": None}
    assert all(unit["healthy"] for unit in stack.json("status")["units"])


def test_urls_stand_in_a_file_that_interpolates(stack: Cli) -> None:
    """As in Alembic's alembic.ini: `%` would have to be doubled there."""
    env = stack.env_of("shop")
    for name, ca in (("POSTGRES_URL", "sslrootcert="), ("MONGO_URI", "tlsCAFile=")):
        ini = configparser.ConfigParser()
        ini.read_string(f"[alembic]\nsqlalchemy.url = {env[name]}\n")
        assert ini.get("alembic", "sqlalchemy.url") == env[name]
        assert ca + ca_of(stack) in env[name]
    assert env["POSTGRES_SSLROOTCERT"] == ca_of(stack)


def test_connections_in_plain_text_are_refused(stack: Cli) -> None:
    env = stack.env_of("shop")
    plain = env["POSTGRES_URL"].partition("?")[0] + "?sslmode=disable"
    with pytest.raises(psycopg.OperationalError, match=r"no encryption|SSL"):
        psycopg.connect(plain)
    uri = env["MONGO_URI"].replace("tls=true", "tls=false").partition("&tlsCAFile")[0]
    assert "closed" in refusal(uri, "closed")


def test_a_ca_that_did_not_sign_is_refused(stack: Cli, other_ca: str) -> None:
    env, ca = stack.env_of("shop"), ca_of(stack)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(env["POSTGRES_URL"], sslrootcert=other_ca)
    uri = env["MONGO_URI"].replace(ca, other_ca)
    assert uri != env["MONGO_URI"]
    words = "certificate verify failed"
    assert words in refusal(uri, words)


def test_another_host_name_than_the_certificates_is_refused(stack: Cli) -> None:
    there = stack.env_of("shop")["POSTGRES_URL"].replace("127.0.0.1", "db.example")
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        psycopg.connect(there, hostaddr="127.0.0.1")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_mongodb_refuses_versions_before_tls_1_2(stack: Cli, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=ca_of(stack))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", stack.port(2)), 60) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_postgres_refuses_versions_before_tls_1_2(stack: Cli) -> None:
    with psycopg.connect(url(stack, "postgres")) as connection:
        found = connection.execute("SHOW ssl_min_protocol_version").fetchone()
    assert found == ("TLSv1.2",)


@pytest.mark.parametrize("unit", ["mng-pg", "mng-mongo"])
def test_certificates_name_the_host_and_keys_are_private(stack: Cli, unit: str) -> None:
    found = x509.load_pem_x509_certificate((conf(stack, unit) / "tls.pem").read_bytes())
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(Path(ca_of(stack)).read_bytes()))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert (conf(stack, unit) / "tls.pem").stat().st_mode & 0o777 == 0o600
    private = stack.state / "tls"
    assert private.stat().st_mode & 0o777 == 0o700
    assert (private / "ca.key").stat().st_mode & 0o777 == 0o600


def test_the_cas_key_is_never_given_to_a_server(stack: Cli) -> None:
    key = (stack.state / "tls" / "ca.key").read_text()
    servers = (stack.state / "servers").resolve()
    assert [path for path, text in contents(servers).items() if key.encode() in text] == []


def shortened(path: Path, folder: Path) -> str:
    """The certificate at `path` as it would be with five days left."""
    old = x509.load_pem_x509_certificate(path.read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
        .not_valid_before(now - dt.timedelta(days=800))
        .not_valid_after(now + dt.timedelta(days=5))
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    new = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]  # it is an EC key
    return new.public_bytes(serialization.Encoding.PEM).decode()


def test_a_certificate_that_is_soon_over_is_renewed(stack: Cli) -> None:
    path = conf(stack, "mng-mongo") / "tls.pem"
    path.write_text(shortened(path, stack.state / "tls"))
    steps = converge(stack)
    assert [(s["object"], s["restart"]) for s in steps] == [("mng-mongo", True)]
    assert "a new certificate" in steps[0]["detail"]
    left = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    assert left - dt.datetime.now(dt.UTC) > dt.timedelta(days=300)
    assert mongo(stack.env_of("shop")["MONGO_URI"]) == 1


def test_a_new_ca_gives_every_server_a_new_certificate(stack: Cli) -> None:
    before = Path(ca_of(stack)).read_text()
    for path in (stack.state / "tls").iterdir():
        path.unlink()
    Path(ca_of(stack)).unlink(missing_ok=True)
    steps = converge(stack)
    assert {s["object"] for s in steps if s["restart"]} == {"mng-pg", "mng-mongo"}
    assert Path(ca_of(stack)).read_text() != before
    assert problems(stack, "shop") == {"postgres": None, "mongodb": None}


def test_tls_is_turned_off_and_on_for_a_running_stack_by_a_restart(stack: Cli) -> None:
    with mongo_as(stack, "shop") as shop:
        shop["shop"]["things"].insert_one({"kept": True})
    for text in (FILE.replace("tls: true", "tls: false"), FILE):
        stack.write(text)
        steps = converge(stack)
        # PostgreSQL takes it while it runs
        assert set(said(steps)) == {("reload", "mng-pg"), ("restart", "mng-mongo")}
        env = stack.env_of("shop")
        assert ("sslmode=verify-full" in env["POSTGRES_URL"]) == (text is FILE)
        with psycopg.connect(env["POSTGRES_URL"]), mongo_as(stack, "shop") as shop:
            assert shop["shop"]["things"].find_one()["kept"]
