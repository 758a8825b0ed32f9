"""A plain client for tests of the Atlas itself: no retries, nothing from mngdb."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.atlas.errors import MEDIA_TYPE
from tests.atlas.handle import Handle


class Client:
    """Requests as a service account, with its `token`."""

    def __init__(self, fake: Handle, account: tuple[str, str] | None = None) -> None:
        self._http = fake.client
        form = {"grant_type": "client_credentials"}
        answer = self._http.post("/api/oauth/token", data=form, auth=account or fake.account)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """One request to a path below /api/atlas/v2."""
        headers = {"Accept": MEDIA_TYPE, "Authorization": f"Bearer {self.token}"}
        if body is not None:
            headers["Content-Type"] = MEDIA_TYPE
            more["json"] = body
        return self._http.request(method, f"/api/atlas/v2{path}", headers=headers, **more)

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """One that has to succeed; its document."""
        answer = self.send(method, path, body, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """One that has to be refused: status and code."""
        answer = self.send(method, path, body)
        assert not answer.is_success, answer.text
        return answer.status_code, answer.json()["errorCode"]

    def until(self, path: str, **wanted: Any) -> Any:
        """Ask until a document has these values."""
        end = time.monotonic() + 60
        while True:
            found = self.ok("GET", path)
            if all(found.get(key) == value for key, value in wanted.items()):
                return found
            assert time.monotonic() < end, found
            time.sleep(0.05)


def cluster(name: str, **more: Any) -> dict[str, Any]:
    """What a cluster of the smallest tier is asked for with."""
    hardware = {"instanceSize": "M10", "nodeCount": 3}
    region = {
        "providerName": "AWS",
        "regionName": "AP_NORTHEAST_2",
        "priority": 7,
        "electableSpecs": hardware,
    }
    spec = {
        "name": name,
        "clusterType": "REPLICASET",
        "replicationSpecs": [{"regionConfigs": [region]}],
    }
    return {**spec, "backupEnabled": True, "pitEnabled": True, **more}
