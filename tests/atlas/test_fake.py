"""How the tests' Atlas refuses, fails and lets time pass; without clusters, so without servers."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.atlas.client import Client, cluster
from tests.atlas.errors import MEDIA_TYPE
from tests.atlas.handle import Handle, atlas

pytestmark = pytest.mark.live
DAY = 86_400
USER = {"databaseName": "admin", "username": "shop"}


@pytest.fixture(scope="module")
def module_fake() -> Iterator[Handle]:
    with atlas() as found:
        found.limit(tokens=1000)
        yield found


@pytest.fixture
def fake(module_fake: Handle) -> Iterator[Handle]:
    yield module_fake
    module_fake.heal()
    module_fake.limit(requests=1_000_000, tokens=1000)


@pytest.fixture
def api(fake: Handle) -> Client:
    return Client(fake)


@pytest.fixture
def group(fake: Handle, api: Client, request: pytest.FixtureRequest) -> str:
    """A project of the test's own: its path."""
    asked = {"name": request.node.name[:60], "orgId": fake.organization}
    return f"/groups/{api.ok('POST', '/groups', asked)['id']}"


def test_half_a_request_of_a_client_that_was_killed_is_not_judged(
    fake: Handle, api: Client, group: str
) -> None:
    fake.requests()
    lines = [
        f"POST /api/atlas/v2{group}/databaseUsers HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {api.token}",
        "Content-Length: 100",
    ]
    url = httpx.URL(fake.url)
    with socket.create_connection((url.host, url.port)) as plain:
        trusted = ssl.create_default_context(cafile=fake.ca)
        with trusted.wrap_socket(plain, server_hostname=url.host) as sent:
            sent.sendall("\r\n".join([*lines, "", "{"]).encode())
    assert fake.requests() == []
    assert fake.violations() == []


# --- logins


def test_a_token_is_good_for_an_hour_and_a_secret_for_its_time(fake: Handle) -> None:
    account = fake.add_account(fake.organization)
    api = Client(fake, account)
    path = f"/orgs/{fake.organization}/serviceAccounts/{account[0]}"
    fake.advance(3599)
    assert api.send("GET", "/orgs").status_code == 200
    fake.advance(2)
    answer = api.send("GET", "/orgs")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Digest ")
    # the older of two secrets ends within a week, and there is no third
    api = Client(fake, account)
    new = api.ok("POST", f"{path}/secrets", {"secretExpiresAfterHours": 8760})
    assert api.refused("POST", f"{path}/secrets", {"secretExpiresAfterHours": 8})[0] == 400
    fake.advance(6 * DAY)
    Client(fake, account)
    fake.advance(1 * DAY + 1)
    form = {"grant_type": "client_credentials"}
    answer = fake.client.post("/api/oauth/token", data=form, auth=account)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    Client(fake, (account[0], new["secret"]))


def test_tokens_are_limited(fake: Handle) -> None:
    fake.limit(tokens=0)
    answer = fake.client.post("/api/oauth/token", auth=fake.account)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


def test_an_api_key_answers_a_challenge(fake: Handle) -> None:
    def ask(key: tuple[str, str], client: httpx.DigestAuth | None = None) -> int:
        headers, login = {"Accept": MEDIA_TYPE}, client or httpx.DigestAuth(*key)
        url = "/api/atlas/v2/groups?itemsPerPage=1"
        return fake.client.get(url, headers=headers, auth=login).status_code

    assert ask(fake.key) == 200
    assert ask((fake.key[0], "another")) == 401
    login = httpx.DigestAuth(*fake.key)
    assert ask(fake.key, login) == 200
    fake.advance(301)  # the nonce is too old, and the client asks for another
    assert ask(fake.key, login) == 200


def test_another_organization_is_closed(fake: Handle, group: str) -> None:
    other = fake.add_organization("Others")
    theirs = Client(fake, fake.add_account(other))
    assert theirs.refused("GET", group) == (401, "NOT_IN_GROUP")
    assert theirs.refused("GET", "/groups/byName/test_another_organization_is_closed")[0] == 401
    assert theirs.ok("GET", "/groups")["results"] == []
    asked = {"name": "x", "orgId": fake.organization}
    assert theirs.refused("POST", "/groups", asked) == (404, "RESOURCE_NOT_FOUND")
    reader = Client(fake, fake.add_account(fake.organization, roles=("ORG_READ_ONLY",)))
    assert reader.ok("GET", group)
    assert reader.refused("DELETE", group) == (403, "USER_UNAUTHORIZED")
    assert reader.refused("POST", "/groups", asked) == (401, "NOT_ORG_GROUP_CREATOR")


# --- faults


def test_what_a_test_asks_for_goes_wrong(fake: Handle, api: Client) -> None:
    fake.fail("listGroups", status=429, retry_after=2, times=2, skip=1)
    api.ok("GET", "/groups")
    for _ in range(2):
        answer = api.send("GET", "/groups")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        assert answer.json()["errorCode"] == "RATE_LIMITED"
    api.ok("GET", "/groups")
    fake.fail(status=503, method="GET")
    assert api.send("GET", "/orgs").status_code == 503
    fake.fail("listOrgs", slow=0.1)
    begun = time.monotonic()
    api.ok("GET", "/orgs")
    assert time.monotonic() - begun > 0.1
    fake.limit(requests=0)
    assert api.refused("GET", "/orgs") == (429, "RATE_LIMITED")


def test_a_connection_is_cut_before_or_after_the_effect(fake: Handle, api: Client) -> None:
    for when, there in (("before", 404), ("after", 200)):
        fake.fail("createGroup", drop=when)
        asked = {"name": f"cut-{when}", "orgId": fake.organization}
        with pytest.raises(httpx.TransportError):
            api.send("POST", "/groups", asked)
        assert api.send("GET", f"/groups/byName/cut-{when}").status_code == there
        entry = [one for one in fake.requests() if one["operation"] == "createGroup"][-1]
        assert (entry["status"], entry["dropped"]) == (0, when)


def test_lists_come_in_any_order_with_unknown_fields(fake: Handle, api: Client, group: str) -> None:
    entries = [{"ipAddress": f"203.0.113.{n}"} for n in range(20)]
    api.ok("POST", f"{group}/accessList", entries)
    usual = [one["ipAddress"] for one in api.ok("GET", f"{group}/accessList")["results"]]
    fake.disorder(1)
    mixed = api.ok("GET", f"{group}/accessList")
    assert "newInAtlas" in mixed["results"][0]
    found = [one["ipAddress"] for one in mixed["results"]]
    assert found != usual
    assert sorted(found) == sorted(usual)


def test_every_answer_names_itself(api: Client) -> None:
    answer = api.send("GET", "/groups/" + "0" * 24)
    assert answer.json() == {
        "detail": "No group with ID 000000000000000000000000 exists.",
        "error": 404,
        "errorCode": "GROUP_NOT_FOUND",
        "parameters": ["0" * 24],
        "reason": "Not Found",
    }
    assert answer.headers["x-java-method"]
    assert answer.headers["x-request-id"]


def test_there_is_no_api_without_its_version(fake: Handle) -> None:
    answer = fake.client.get("/api/atlas/v2/orgs", auth=httpx.DigestAuth(*fake.key))
    assert answer.status_code == 406


# --- resources


def test_the_access_list_has_200_entries_and_some_end(
    fake: Handle, api: Client, group: str
) -> None:
    access = f"{group}/accessList"
    entries = [{"cidrBlock": f"10.{n}.0.0/16"} for n in range(199)]
    temporary = {"ipAddress": "203.0.113.9", "deleteAfterDate": fake.moment(8 * DAY)}
    assert api.refused("POST", access, [temporary]) == (400, "INVALID_ATTRIBUTE")
    temporary["deleteAfterDate"] = fake.moment(1 * DAY)
    api.ok("POST", access, [*entries, temporary])
    over = [{"ipAddress": "203.0.113.10"}]
    assert api.refused("POST", access, over) == (400, "ATLAS_ACCESS_LIST_LIMIT_EXCEEDED")
    assert api.ok("GET", f"{access}?itemsPerPage=50&pageNum=4")["totalCount"] == 200
    fake.advance(2 * DAY)
    again = Client(fake)  # the token is old
    assert again.ok("GET", access)["totalCount"] == 199
    wrong = [{"cidrBlock": "10.0.0.1/8"}]
    assert again.refused("POST", access, wrong)[1] == "INVALID_IP_ADDRESS_OR_CIDR_NOTATION"


def test_a_role_that_somebody_has_stays(api: Client, group: str) -> None:
    roles, users = f"{group}/customDBRoles/roles", f"{group}/databaseUsers"
    asked: dict[str, Any] = {**USER, "groupId": group[8:], "password": "first-of-two"}
    asked["roles"] = [{"databaseName": "admin", "roleName": "mine"}]
    assert api.refused("POST", users, asked) == (404, "ATLAS_CUSTOM_ROLE_NOT_FOUND")
    api.ok("POST", roles, {"roleName": "mine", "inheritedRoles": [{"db": "a", "role": "read"}]})
    assert "password" not in api.ok("POST", users, asked)
    assert api.refused("POST", users, asked) == (409, "USER_ALREADY_EXISTS")
    assert api.refused("DELETE", f"{roles}/mine") == (409, "ATLAS_CUSTOM_ROLE_IN_USE")
    api.ok("DELETE", f"{users}/admin/shop")
    assert api.refused("GET", f"{users}/admin/shop") == (404, "USERNAME_NOT_FOUND")
    api.ok("DELETE", f"{roles}/mine")


def test_a_private_endpoint_takes_its_time_or_fails(fake: Handle, api: Client, group: str) -> None:
    link = f"{group}/privateEndpoint"
    asked = {"providerName": "AWS", "region": "AP_NORTHEAST_2"}
    fake.speed(service=3600)
    made = api.ok("POST", f"{link}/endpointService", asked)
    one = f"{link}/AWS/endpointService/{made['id']}"
    endpoint = {"id": "vpce-" + "1" * 17}
    assert made["status"] == "INITIATING"
    assert api.refused("POST", f"{one}/endpoint", endpoint)[0] == 400
    assert api.refused("POST", f"{link}/endpointService", asked)[0] == 400
    fake.advance()
    fake.speed(service=0.02)
    assert api.ok("GET", one)["status"] == "AVAILABLE"
    fake.doom("endpoint")
    api.ok("POST", f"{one}/endpoint", endpoint)
    api.until(f"{one}/endpoint/{endpoint['id']}", connectionStatus="REJECTED")
    assert api.refused("DELETE", one)[0] == 400
    api.ok("DELETE", f"{one}/endpoint/{endpoint['id']}")


def test_networks_that_overlap_are_refused(fake: Handle, api: Client, group: str) -> None:
    asked = {"providerName": "AWS", "regionName": "EU_WEST_1", "atlasCidrBlock": "10.8.0.0/21"}
    made = api.ok("POST", f"{group}/containers", asked)
    another = {**asked, "regionName": "EU_WEST_2"}
    assert api.refused("POST", f"{group}/containers", another)[1] == "OVERLAPPING_ATLAS_CIDR_BLOCK"
    wide = {**another, "atlasCidrBlock": "10.0.0.0/8"}
    assert api.refused("POST", f"{group}/containers", wide)[1] == "ATLAS_CIDR_BLOCK_INVALID"
    peer = {"containerId": made["id"], "accepterRegionName": "eu-west-1"}
    peer |= {"awsAccountId": "1" * 12, "vpcId": "vpc-" + "0" * 17}
    peer["routeTableCidrBlock"] = "10.8.4.0/24"
    assert api.refused("POST", f"{group}/peers", peer) == (400, "OVERLAPPING_CIDR_BLOCK")
    peer["routeTableCidrBlock"] = "10.0.0.0/21"
    asked_for = api.ok("POST", f"{group}/peers", peer)
    one = f"{group}/peers/{asked_for['id']}"
    api.until(one, statusName="PENDING_ACCEPTANCE")
    fake.do("accept", project=group[8:], peer=asked_for["id"])
    api.until(one, statusName="AVAILABLE")
    assert api.refused("DELETE", f"{group}/containers/{made['id']}") == (409, "CONTAINERS_IN_USE")


def test_what_a_cluster_may_not_be_is_refused(fake: Handle, api: Client, group: str) -> None:
    fake.lack("AP_NORTHEAST_2", "M10")
    clusters = f"{group}/clusters"
    for asked, code in (
        (cluster("mng"), "INVALID_INSTANCE_SIZE_FOR_REGION"),
        (cluster("mng", mongoDBMajorVersion="4.4"), "INVALID_MONGODB_VERSION"),
        (cluster("mng", replicationSpecs=[]), "MISSING_ATTRIBUTE"),
    ):
        assert api.refused("POST", clusters, asked) == (400, code)
    assert api.refused("GET", f"{clusters}/mng") == (404, "CLUSTER_NOT_FOUND")


def test_a_project_has_alerts_that_atlas_made(api: Client, group: str) -> None:
    found = api.ok("GET", f"{group}/alertConfigs")["results"]
    assert {one["eventTypeName"] for one in found} >= {"NO_PRIMARY", "OUTSIDE_METRIC_THRESHOLD"}
