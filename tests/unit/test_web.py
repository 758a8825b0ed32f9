"""`redisinsight` and `sso` in the file, and what they render to."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from msgspec.structs import replace

from mngdb.agent.containers import Containers
from mngdb.agent.refusals import Refusals
from mngdb.agent.self_metrics import SelfMetrics
from mngdb.agent.watch import Watch
from mngdb.errors import UsageError
from mngdb.model import Access
from mngdb.ops.context import Context
from mngdb.secret import Secret
from mngdb.spec.load import load
from mngdb.spec.stack import Stack
from mngdb.spec.web import RedisInsight, Sso
from mngdb.targets.compose import page_certificate, web_config
from mngdb.targets.process import tls
from tests.unit.spec import refused

GOOD = """\
redis: {}
sso: {issuer: "https://keycloak.${DEFAULT_URL}/realms/mng"}
redisinsight: {url: "https://redisinsight.${DEFAULT_URL}", accept_terms: true}
"""
SSO = Sso(issuer="https://keycloak.example/realms/mng")
INSIGHT = RedisInsight(url="https://redisinsight.example:8443", accept_terms=True)


def stack(folder: Path, text: str) -> Stack:
    path = folder / "mngdb.yaml"
    path.write_text(text)
    return _opened(folder, load([path], {"DEFAULT_URL": "example.test"})).stack


def _opened(folder: Path, found: Stack) -> Context:
    context = Context.open(found, {"MNGDB_STATE_HOME": str(folder / "home")})
    context.claim()
    return context


def test_the_address_is_filled_in_from_the_environment(tmp_path: Path) -> None:
    source = stack(tmp_path, GOOD).source
    assert source.redisinsight is not None
    assert source.redisinsight.url == "https://redisinsight.example.test"
    assert (source.redisinsight.host, source.redisinsight.port) == (
        "redisinsight.example.test",
        443,
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            ", accept_terms: true",
            "",
            "3:15: redisinsight: RedisInsight runs only where",
        ),
        ("accept_terms: true", "accept_terms: false", "only you can accept them: read them"),
        ("https://redisinsight", "http://redisinsight", "write https://HOST"),
        ('${DEFAULT_URL}", acc', 'x.test/path", acc', "a page needs its own host"),
        ("https://redisinsight.", "https://me:pw@redisinsight.", "a password does not belong"),
        ("https://redisinsight.", "https://me@redisinsight.", "write https://HOST"),
        ("https://redisinsight.", "https://`) || PathPrefix(`/", "write https://HOST"),
        ("https://keycloak.", "https://Keycloak.", "in lower case"),
        ("/realms/mng", "", "not a Keycloak realm"),
        ("https://keycloak.", "http://keycloak.", "has to use https"),
        ('/realms/mng"', '/realms/mng", session: 1m', "a login lasts at least 10m"),
        ('/realms/mng"', '/realms/mng", inside: "http://k:8080/x"', "only a host and a port"),
        ('/realms/mng"', '/realms/mng", roles: ["a b"]', "not the name of a role"),
        ('/realms/mng"', '/realms/mng", client_secret: hunter2', "a secret does not belong"),
        ('/realms/mng"', '/realms/mng", route: true', "'route' needs 'inside'"),
        (
            '${DEFAULT_URL}/realms/mng"',
            'x.test:444/realms/mng", route: true, inside: "http://k:8080"',
            "the page and the realm on one port",
        ),
        ("sso:", "# sso:", "open to everybody"),
        ("redis: {}", "postgres: {}", "has no Redis"),
        ("redis: {}", "redis: {}\ninstances: {sso: {engine: redis, port: 1}}", "another name"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, said: str) -> None:
    assert old in GOOD
    found = refused(GOOD.replace(old, new), DEFAULT_URL="example.test")
    assert said in found
    assert "mngdb.yaml:" in found


def oauth2_proxy(sso: Sso = SSO) -> dict[str, object]:
    return tomllib.loads(web_config.oauth2_proxy(sso, INSIGHT, web_config.Places()))


def test_a_slash_at_the_issuers_end_is_not_another_issuer() -> None:
    slashed = Sso(issuer="https://keycloak.example/realms/mng/")
    assert oauth2_proxy(slashed)["oidc_issuer_url"] == SSO.issuer


def test_the_session_cookie_is_the_hosts_alone_and_no_path_goes_without_login() -> None:
    found = oauth2_proxy()
    assert str(found["cookie_name"]).startswith("__Host-")
    assert not {
        name for name in found if name.startswith(("cookie_domain", "skip_auth", "skip_jwt"))
    }
    assert found["whitelist_domains"] == ["redisinsight.example:8443"]
    assert found["redirect_url"] == "https://redisinsight.example:8443/oauth2/callback"
    assert not {name for name, value in found.items() if name.startswith("insecure") and value}


def test_a_session_of_days_is_written_as_go_reads_durations() -> None:
    found = oauth2_proxy(Sso(issuer=SSO.issuer, session=timedelta(days=2)))
    assert found["cookie_expire"] == "172800s"


def test_containers_may_reach_keycloak_by_another_address_than_browsers() -> None:
    found = oauth2_proxy(Sso(issuer=SSO.issuer, inside="http://keycloak:8080"))
    inside = "http://keycloak:8080/realms/mng/protocol/openid-connect/"
    for name in ("redeem_url", "profile_url", "oidc_jwks_url", "backend_logout_url"):
        assert str(found[name]).startswith(inside)
    assert found["login_url"] == f"{SSO.issuer}/protocol/openid-connect/auth"
    assert found["oidc_issuer_url"] == SSO.issuer


def test_roles_and_a_ca_are_asked_for_only_when_named() -> None:
    assert not {"allowed_roles", "provider_ca_files"} & set(oauth2_proxy())
    found = oauth2_proxy(Sso(issuer=SSO.issuer, roles=["redis-admin"], ca="ca.crt"))
    assert found["allowed_roles"] == ["redis-admin"]
    assert found["provider_ca_files"] == ["/run/secrets/sso_ca.crt"]


def test_traefik_asks_before_every_request_and_opens_one_entry() -> None:
    static = yaml.safe_load(web_config.traefik(web_config.Places()))
    assert set(static["entryPoints"]) == {"websecure", "ping"}
    assert static["entryPoints"]["ping"]["address"].startswith("127.0.0.1:")
    assert set(static["providers"]) == {"file"}
    assert "api" not in static
    routes = yaml.safe_load(web_config.routes(SSO, INSIGHT, web_config.Places()))
    middlewares = routes["http"]["routers"]["redisinsight"]["middlewares"]
    assert middlewares == ["strangers", "secure", "login"]
    assert routes["http"]["middlewares"]["login"]["forwardAuth"]["trustForwardHeader"] is False


def test_the_realm_is_routed_on_wish_and_its_administration_never() -> None:
    plain = yaml.safe_load(web_config.routes(SSO, INSIGHT, web_config.Places()))
    assert set(plain["http"]["routers"]) == {"redisinsight", "redisinsight-login"}
    sso = Sso(issuer=SSO.issuer, inside="http://keycloak:8080", route=True)
    found = yaml.safe_load(web_config.routes(sso, INSIGHT, web_config.Places()))["http"]
    assert found["routers"]["realm"]["rule"] == (
        "Host(`keycloak.example`) && (PathPrefix(`/realms/mng/`) || PathPrefix(`/resources/`))"
    )
    assert found["services"]["realm"]["loadBalancer"]["servers"] == [{"url": sso.inside}]


def test_redisinsight_gets_its_connections_as_its_documentation_says() -> None:
    redis = Access("redis", "mng-redis", 6379, "admin", Secret("pw1"))
    plain = {
        "id": "mng-redis",
        "name": "mng-redis",
        "host": "mng-redis",
        "port": 6379,
        "username": "admin",
        "password": "pw1",
    }
    assert json.loads(web_config.connections({"mng-redis": redis}, "")) == [plain]
    encrypted = {"tls": True, "verifyServerCert": True, "caCert": {"certificate": "PEM"}}
    redis = replace(redis, tls=True, ca="/where/mngdb/reads.it")
    assert json.loads(web_config.connections({"mng-redis": redis}, "PEM")) == [plain | encrypted]


PAGE = "redis: {}\ntarget: compose\n" + GOOD.removeprefix("redis: {}\n")


def test_the_pages_certificate_is_made_once_and_anew_for_another_name(tmp_path: Path) -> None:
    found = stack(tmp_path, PAGE)
    assert page_certificate.read(found) == ("", "")
    page_certificate.ensure(found)
    first = page_certificate.read(found)
    page_certificate.ensure(found)
    assert page_certificate.read(found) == first
    names = _names(first[0])
    assert "redisinsight.example.test" in names
    assert "keycloak.example.test" not in names
    assert (found.state / "tls/page.key").stat().st_mode & 0o777 == 0o600

    realm = PAGE.replace('/realms/mng"', '/realms/mng", inside: "http://k:8080", route: true')
    other = stack(tmp_path, realm)
    page_certificate.ensure(other)
    again = page_certificate.read(other)
    assert again != first
    assert {"redisinsight.example.test", "keycloak.example.test"} <= _names(again[0])


def test_a_certificate_of_ones_own_is_taken_as_it_is_and_a_wrong_one_refused(
    tmp_path: Path,
) -> None:
    page_certificate.ensure(stack(tmp_path, PAGE))
    made = stack(tmp_path, PAGE).state / "tls"
    given = PAGE.replace(
        "terms: true", "terms: true, certificate: {certificate: a.crt, key: a.key}"
    )
    found = stack(tmp_path, given)
    with pytest.raises(UsageError, match=r"a\.crt cannot be read: No such file"):
        page_certificate.read(found)
    (tmp_path / "a.crt").write_text((made / "page.key").read_text())
    with pytest.raises(UsageError, match="holds no certificate in PEM form"):
        page_certificate.read(found)
    (tmp_path / "a.crt").write_text((made / "page.crt").read_text())
    (tmp_path / "a.key").write_text((made / "page.key").read_text())
    before = sorted(path.name for path in made.iterdir())
    page_certificate.ensure(found)
    assert page_certificate.read(found) == (
        (tmp_path / "a.crt").read_text(),
        (tmp_path / "a.key").read_text(),
    )
    assert sorted(path.name for path in made.iterdir()) == before

    (tmp_path / "a.key").write_text((made / "ca.key").read_text())
    with pytest.raises(UsageError, match="the key does not match"):
        page_certificate.read(found)
    (tmp_path / "a.key").write_text((made / "page.key").read_text())
    for host in ("redis.example.test", "insight.redisinsight.example.test"):
        elsewhere = stack(tmp_path, given.replace("redisinsight.${DEFAULT_URL}", host))
        with pytest.raises(UsageError, match=f"redisinsight.example.test, not for {host}"):
            page_certificate.read(elsewhere)
    certificate, key = tls.certificate(made, ["*.example.test"])
    assert tls.unfit(certificate, key, "redis.example.test") is None
    assert "not for" in (tls.unfit(certificate, key, "a.b.example.test") or "")


def test_the_agent_counts_the_pages_certificate_also_where_it_is_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def left(found: Stack) -> list[float]:
        context = _opened(tmp_path, found)
        own = SelfMetrics(context, Watch(context, tmp_path), Containers(context), Refusals(context))
        (family,) = [f for f in own.families() if f.name == "mngdb_certificate_expiry_seconds"]
        return [s.value for s in family.samples if s.labels == (("instance", "redisinsight"),)]

    page = stack(tmp_path, PAGE)
    assert left(page) == []
    page_certificate.ensure(page)
    assert 824 * 86400 < left(page)[0] < 826 * 86400
    given = "terms: true, certificate: {certificate: a.crt, key: a.key}"
    (tmp_path / "a.crt").write_text("no certificate")
    assert left(stack(tmp_path, PAGE.replace("terms: true", given))) == []
    assert "a.crt has no readable certificate" in capsys.readouterr().err


def test_a_page_is_made_for_containers_only(tmp_path: Path) -> None:
    assert stack(tmp_path, GOOD).insight == ()
    assert [one.name for one in stack(tmp_path, PAGE).insight] == ["redis"]


def _names(certificate: str) -> set[str]:
    found = x509.load_pem_x509_certificate(certificate.encode())
    extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(extension.value.get_values_for_type(x509.DNSName))
