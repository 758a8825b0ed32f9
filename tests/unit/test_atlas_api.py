"""Requests to Atlas: what is tried again, how often a token is fetched, what a refusal says."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from mngdb.errors import SecretError, UnobservableError
from mngdb.secret import Secret
from mngdb.targets.atlas import auth
from mngdb.targets.atlas.api import Api
from mngdb.targets.atlas.errors import AtlasError, LostError

ACCOUNT = auth.Credentials("mdb_sa_id_1", Secret("mdb_sa_sk_1"), account=True)
KEYS = auth.Credentials("public", Secret("private"), account=False)
Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers requests in order, the last answer again and again; a token at any time."""

    def __init__(self, *answers: Answer | httpx.Response | type[Exception]) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []
        self.tokens = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/oauth/token":
            self.tokens += 1
            found = {"access_token": f"token-{self.tokens}", "expires_in": 3600}
            return httpx.Response(200, json=found)
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, type):
            raise answer("cut")
        return answer if isinstance(answer, httpx.Response) else answer(request)


def api(server: Server, folder: Path, given: auth.Credentials = ACCOUNT) -> Api:
    folder.mkdir(exist_ok=True)
    transport = httpx.MockTransport(server)
    return Api("https://atlas.test", given, folder / "atlas", pace=0.0, transport=transport)


def ok(**fields: object) -> httpx.Response:
    return httpx.Response(200, json=fields)


def test_a_token_is_fetched_once_and_kept_where_nobody_else_reads_it(tmp_path: Path) -> None:
    server = Server(ok(id="1"))
    for _ in range(3):
        client = api(server, tmp_path)
        client.get("groups", "1")
        client.get("groups", "1")
    assert server.tokens == 1
    assert server.seen[-1].headers["Authorization"] == "Bearer token-1"
    assert stat.S_IMODE((tmp_path / "atlas" / "token").stat().st_mode) == 0o600
    other = auth.Credentials(ACCOUNT.name, Secret("another"), account=True)
    api(server, tmp_path, other).get("groups", "1")
    assert server.tokens == 2


def test_a_token_near_its_end_or_refused_is_fetched_anew(tmp_path: Path) -> None:
    server = Server(ok(id="1"))
    api(server, tmp_path).get("groups", "1")
    kept = tmp_path / "atlas" / "token"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"until": 1.0}))
    api(server, tmp_path).get("groups", "1")
    assert server.tokens == 2
    server = Server(httpx.Response(401, json={"errorCode": "UNAUTHORIZED"}), ok(id="1"))
    assert api(server, tmp_path).get("groups", "1") == {"id": "1"}
    assert server.tokens == 1


def test_a_storm_of_refusals_for_its_limit_ends_in_success(tmp_path: Path) -> None:
    busy = httpx.Response(429, headers={"Retry-After": "1"}, json={"errorCode": "RATE_LIMITED"})
    server = Server(*[busy] * 1000, ok(id="1"))
    assert api(server, tmp_path).post({}, "groups") == {"id": "1"}
    assert len(server.seen) == 1001
    assert server.tokens == 1


@pytest.mark.parametrize("fault", [httpx.Response(503), httpx.Response(500), httpx.ReadError])
def test_faults_are_tried_again_where_that_makes_nothing_twice(
    tmp_path: Path, fault: httpx.Response | type[Exception]
) -> None:
    server = Server(fault, fault, ok(id="1"))
    assert api(server, tmp_path).get("groups", "1") == {"id": "1"}
    server = Server(fault, ok(id="1"))
    assert api(server, tmp_path).patch({}, "groups", "1") == {"id": "1"}
    server = Server(fault, ok(id="1"))
    with pytest.raises(LostError):
        api(server, tmp_path).post({}, "groups")
    assert len(server.seen) == 1


def test_what_never_arrived_is_sent_again(tmp_path: Path) -> None:
    server = Server(httpx.ConnectError, ok(id="1"))
    assert api(server, tmp_path).post({}, "groups") == {"id": "1"}


@pytest.mark.parametrize("fault", [httpx.Response(500), httpx.ConnectError])
def test_tries_end(tmp_path: Path, fault: httpx.Response | type[Exception]) -> None:
    server = Server(fault)
    with pytest.raises(UnobservableError, match="does not answer GET /groups/1"):
        api(server, tmp_path).get("groups", "1")
    assert 5 < len(server.seen) < 30


def test_without_a_way_to_atlas_the_tries_end_soon_and_are_told(tmp_path: Path) -> None:
    tries: list[httpx.Request] = []
    told: list[str] = []

    def cut(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.ConnectError("no route")

    client = Api("https://atlas.test", KEYS, tmp_path, pace=0.0, transport=httpx.MockTransport(cut))
    client.tell = told.append
    with pytest.raises(UnobservableError, match="no connection") as error:
        client.get("groups", "1")
    assert 3 < len(tries) < 8
    assert error.value.hint is not None
    assert "https://atlas.test" in error.value.hint
    assert told[0].startswith("Atlas: no connection; next try in ")


def test_a_refusal_has_atlas_words_its_request_and_what_to_do(tmp_path: Path) -> None:
    body = {"error": 409, "errorCode": "DUPLICATE_CLUSTER_NAME", "detail": "A cluster named x."}
    server = Server(httpx.Response(409, headers={"X-Request-Id": "r-7"}, json=body))
    with pytest.raises(AtlasError) as error:
        api(server, tmp_path).post({}, "groups", "1", "clusters")
    assert "A cluster named x" in error.value.message
    assert "DUPLICATE_CLUSTER_NAME" in error.value.message
    assert "r-7" in error.value.message
    assert error.value.hint == "choose another 'cluster' in the file"


def test_an_answer_that_is_not_json_is_told(tmp_path: Path) -> None:
    server = Server(httpx.Response(400, content=b"<html>"))
    with pytest.raises(AtlasError, match="not JSON"):
        api(server, tmp_path).get("groups", "1")


def test_pages_are_read_to_their_end(tmp_path: Path) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["pageNum"])
        return ok(results=[{"id": number}], totalCount=3)

    assert [one["id"] for one in api(Server(page), tmp_path).every("groups")] == [1, 2, 3]


def test_names_are_quoted_in_paths(tmp_path: Path) -> None:
    server = Server(httpx.Response(204))
    api(server, tmp_path).delete("groups", "1", "accessList", "10.0.0.0/8")
    assert server.seen[0].url.raw_path == b"/api/atlas/v2/groups/1/accessList/10.0.0.0%2F8"


def test_digest_keys_answer_a_challenge(tmp_path: Path) -> None:
    challenge = {"WWW-Authenticate": 'Digest realm="MMS", nonce="n", qop="auth", algorithm=MD5'}
    server = Server(httpx.Response(401, headers=challenge), ok(id="1"))
    assert api(server, tmp_path, KEYS).get("groups", "1") == {"id": "1"}
    assert server.seen[1].headers["Authorization"].startswith('Digest username="public"')
    assert "private" not in server.seen[1].headers["Authorization"]
    assert server.tokens == 0


def test_a_refused_login_says_what_to_do(tmp_path: Path) -> None:
    body = {"error": "invalid_client", "error_description": "The secret has expired"}
    transport = httpx.MockTransport(lambda _: httpx.Response(401, json=body))
    client = Api("https://atlas.test", ACCOUNT, tmp_path, transport=transport)
    with pytest.raises(AtlasError, match="The secret has expired") as error:
        client.get("groups")
    assert "mngdb secret set atlas_client-secret" in str(error.value.hint)


def test_hints_name_the_credentials_that_were_used(tmp_path: Path) -> None:
    refused = httpx.Response(401, json={"errorCode": "X", "detail": "no"})
    with pytest.raises(AtlasError) as caught:
        api(Server(refused), tmp_path, KEYS).get("groups")
    assert caught.value.hint == (
        "check atlas_public-key and atlas_private-key: mngdb secret set atlas_private-key"
    )
    forbidden = httpx.Response(403, json={"errorCode": "USER_UNAUTHORIZED", "detail": "no"})
    for given, who in ((KEYS, "the API key"), (ACCOUNT, "the service account")):
        with pytest.raises(AtlasError) as caught:
            api(Server(forbidden), tmp_path, given).get("groups")
        assert f"give {who} the role" in str(caught.value.hint)


def test_credentials_come_from_the_vault_then_from_the_environment() -> None:
    environ = {"MONGODB_ATLAS_PUBLIC_API_KEY": "p", "MONGODB_ATLAS_PRIVATE_API_KEY": "k"}
    kept = {auth.ID: Secret("id"), auth.SECRET: Secret("secret")}
    assert auth.credentials(kept.get, environ).account
    assert auth.credentials(lambda _: None, environ) == auth.Credentials("p", Secret("k"), False)
    with pytest.raises(SecretError, match="atlas_client-secret is missing"):
        auth.credentials({auth.ID: Secret("id")}.get, environ)
    with pytest.raises(SecretError, match="no credentials"):
        auth.credentials(lambda _: None, {})
