"""What Atlas refuses, in its own words, with the one thing to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mngdb.errors import OvertakenError, StepError


class Login(Struct, frozen=True):
    """Whose credentials a request has: in words, and the vault's names of both parts."""

    who: str
    name: str
    secret: str


ACCOUNT = Login("the service account", "atlas_client-id", "atlas_client-secret")
KEYS = Login("the API key", "atlas_public-key", "atlas_private-key")
#: Atlas' error codes, or the beginnings of such, to what helps; `{who}` is who asks.
#: https://www.mongodb.com/docs/atlas/reference/api-errors/
_HINTS = {
    "IP_ADDRESS_NOT_ON_ACCESS_LIST": "add this machine's address to the API access list of {who} "
    "(Atlas: Organization Access Manager, Applications)",
    "ORG_REQUIRES_ACCESS_LIST": "add this machine's address to the API access list of {who} "
    "(Atlas: Organization Access Manager, Applications)",
    "USER_UNAUTHORIZED": "give {who} the role Organization Project Creator, and "
    "Project Owner in an existing project",
    "USER_CANNOT_ACCESS": "give {who} the role Project Owner in this project",
    "NOT_IN_GROUP": "give {who} the role Project Owner in this project",
    "NOT_ORG_GROUP_CREATOR": "give {who} the role Organization Project Creator",
    "NO_PAYMENT_INFORMATION_FOUND": "add a payment method (Atlas: Organization, Billing)",
    "DUPLICATE_CLUSTER_NAME": "choose another 'cluster' in the file",
    "CLUSTER_NAME_PREFIX_INVALID": "choose a 'cluster' whose first 23 letters are its own",
    "GROUP_ALREADY_EXISTS": "choose another 'project' in the file: names are taken by any "
    "organization that the credentials see",
    "OUT_OF_CAPACITY": "choose another 'region' or 'tier', or try again later",
    "INVALID_REGION": "choose a 'region' that has this tier",
    "REGION_NOT_": "choose another 'region'",
    "UNSUPPORTED_": "choose another 'region' or 'tier'",
    "INVALID_INSTANCE_SIZE": "choose a 'tier' that this region has",
    "CANNOT_TERMINATE_CLUSTER_WHEN_TERMINATION_PROTECTION_ENABLED": "write 'protected: false' in "
    "the file and run 'mngdb up' first",
    "CLUSTER_PAUSED": "resume the cluster (Atlas: Clusters, Resume), then run 'mngdb up'",
    "CANNOT_UPDATE_PAUSED_CLUSTER": "resume the cluster (Atlas: Clusters, Resume), then run it",
    "MAX": "ask MongoDB for a higher limit (Atlas: Support), or remove what is not needed",
    "CANNOT_CREATE_CLUSTER_EXCEEDS": "ask MongoDB for a higher limit (Atlas: Support)",
    "OVER_": "ask MongoDB for a higher limit (Atlas: Support), or remove what is not needed",
    "ATLAS_CIDR": "choose another 'atlas_cidr' in the file",
    "CONTAINER_": "the network of a cluster is fixed once it exists: write its own 'atlas_cidr'",
    "OVERLAP": "choose a CIDR block that overlaps no other network of the project",
}
_BY_STATUS = {
    401: "check {name} and {secret}: mngdb secret set {secret}",
    402: "add a payment method (Atlas: Organization, Billing)",
    403: "give {who} the role Project Owner in this project",
}
#: Headers that name a request, the likeliest first.
_IDS = ("x-request-id", "x-mongodb-request-id", "x-java-request-id", "x-amzn-requestid")


class AtlasError(StepError):
    """Atlas refused a request. `code` is its own, `status` that of HTTP."""

    def __init__(self, message: str, hint: str | None, status: int, code: str) -> None:
        super().__init__(message, hint)
        self.status = status
        self.code = code


class LostError(OvertakenError):
    """Nobody knows whether a request that makes something arrived: what is there has to be looked
    at again."""


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, what: str, login: Login = ACCOUNT
) -> AtlasError:
    """The error of an answer to `what` (`POST /groups`), which `login` asked for."""
    code = code_of(body)
    detail = detail_of(body)
    if not detail:
        detail = "its answer is not JSON" if body and not code else "it gave no reason"
    name = next((headers[name] for name in _IDS if name in headers), "")
    about = [one for one in (code, f"status {status}", name and f"request {name}") if one]
    text = f"Atlas refused {what}: {detail.rstrip('.')} ({', '.join(about)})"
    return AtlasError(text, hint(status, code, login), status, code)


def code_of(body: bytes) -> str:
    """Atlas' own error code in an answer; empty: there is none."""
    told = _told(body)
    return str(told.get("errorCode") or told.get("error") or "")


def detail_of(body: bytes) -> str:
    """Atlas' own words in an answer; empty: there are none."""
    told = _told(body)
    return str(told.get("detail") or told.get("error_description") or told.get("reason") or "")


def _told(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def hint(status: int, code: str, login: Login = ACCOUNT) -> str | None:
    """What helps."""
    exact = _HINTS.get(code)
    begun = (text for name, text in _HINTS.items() if code.startswith(name))
    inside = (text for name, text in _HINTS.items() if len(name) > 4 and name in code)
    found = exact or next(begun, None) or next(inside, None) or _BY_STATUS.get(status)
    return found and found.format(who=login.who, name=login.name, secret=login.secret)
