"""Requests to Atlas' Administration API: who asks, what is tried again, and what is refused.

https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/
"""

from __future__ import annotations

import json
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mngdb import log, stopping, waits
from mngdb.errors import ConnectError, MngdbError, UnobservableError
from mngdb.targets.atlas.auth import Credentials, Tokens, token_of
from mngdb.targets.atlas.errors import AtlasError, LostError, code_of, detail_of, refusal

if TYPE_CHECKING:
    import httpx

Json = dict[str, Any]

#: The version of the resources that we speak.
_MEDIA = "application/vnd.atlas.2025-03-12+json"
_BASE = "/api/atlas/v2"
_TOKEN = "/api/oauth/token"  # noqa: S105 - a path
#: Seconds: to connect, and for an answer.
_CONNECT, _ANSWER = 10.0, 60.0
#: Seconds that one request may be put off: by Atlas' own limit, and by faults on the way.
_THROTTLED, _BROKEN = 1800.0, 180.0
#: Seconds that a connection is tried for, as long as nothing has answered this process yet: there
#: may be no way to Atlas from here.
_UNMET = 15.0
#: Seconds between two tries where Atlas does not say: the first, the longest; and the shortest.
_FIRST, _LONGEST, _SHORTEST = 0.5, 30.0, 0.01
#: Seconds from which on a wait is told.
_TOLD = 2.0
_PAGE = 500
#: Codes of a 401 that is about the token, not about rights.
_NO_TOKEN = {"", "UNAUTHORIZED", "INVALID_ACCESS_TOKEN"}


class Api:
    """One set of credentials at one address. May be used by several threads."""

    def __init__(
        self,
        url: str,
        given: Credentials,
        folder: Path,
        *,
        pace: float = 1.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`folder` keeps the token. `pace` multiplies the pauses between tries."""
        import httpx

        self._pace = pace
        digest = None if given.account else httpx.DigestAuth(given.name, given.secret.reveal())
        self._client = httpx.Client(
            base_url=url,
            auth=digest,
            timeout=httpx.Timeout(_ANSWER, connect=_CONNECT),
            verify=True if transport else ssl.create_default_context(),
            transport=transport,
            headers={"Accept": _MEDIA, "User-Agent": "mngdb"},
        )
        self.given = given
        self._tokens = Tokens(given, folder, url, self._fetch) if given.account else None
        self.url = url
        self.requests = 0
        """How many were sent, those for tokens included."""
        self.tell: Callable[[str], None] = waits.begin
        """Told of long waits."""
        self._met = False

    def get(self, *parts: str, **query: object) -> Json:
        """An object. Raises AtlasError, also where it is not there."""
        found: Json = self._call("GET", parts, query=query)
        return found

    def find(self, *parts: str) -> Json | None:
        """An object; None: there is none. Raises AtlasError."""
        try:
            return self.get(*parts)
        except AtlasError as error:
            if error.status == 404:
                return None
            raise

    def every(self, *parts: str, **query: object) -> list[Json]:
        """All entries of a list, whatever its pages."""
        return [*self._pages(parts, query)]

    def _pages(self, parts: tuple[str, ...], query: Mapping[str, object]) -> Iterator[Json]:
        page, seen = 1, 0
        while True:
            asked = {**query, "itemsPerPage": _PAGE, "pageNum": page}
            found = self._call("GET", parts, query=asked)
            entries, total = found["results"], found.get("totalCount")
            yield from entries
            page, seen = page + 1, seen + len(entries)
            if not entries or (len(entries) < _PAGE if total is None else seen >= total):
                return

    def listed(self, *parts: str) -> list[Json]:
        """A list that has no pages."""
        found: list[Json] = self._call("GET", parts)
        return found

    def post(self, body: object, *parts: str) -> Json:
        """Make something. Raises AtlasError, and LostError where nobody knows whether it was."""
        found: Json = self._call("POST", parts, body)
        return found

    def put_entries(self, body: list[Json], *parts: str) -> None:
        """Post entries of a list that has each once: they may arrive twice."""
        self._call("POST", parts, body, again=True)

    def patch(self, body: object, *parts: str) -> Json:
        """Change some fields."""
        found: Json = self._call("PATCH", parts, body)
        return found

    def put(self, body: object, *parts: str) -> Json:
        """Change all fields."""
        found: Json = self._call("PUT", parts, body)
        return found

    def delete(self, *parts: str) -> None:
        """Remove something; what is not there is no error."""
        try:
            self._call("DELETE", parts)
        except AtlasError as error:
            if error.status != 404:
                raise

    def close(self) -> None:
        """Give up the connections."""
        self._client.close()

    # --- one request, however often it is sent

    def _call(
        self,
        method: str,
        parts: tuple[str, ...],
        body: object = None,
        query: Mapping[str, object] | None = None,
        *,
        again: bool = False,
    ) -> Any:
        path = "/".join([_BASE, *(quote(part, safe="") for part in parts)])
        what = f"{method} {path.removeprefix(_BASE)}"
        headers = {} if body is None else {"Content-Type": _MEDIA}
        content = None if body is None else json.dumps(body).encode()
        answer = self._tried(
            what,
            lambda: self._send(method, path, headers, content, query or {}),
            again=again or method != "POST",
        )
        if answer.is_success:
            return _read(answer, what)
        raise refusal(answer.status_code, answer.headers, answer.content, what, self.given.login)

    def _tried(
        self, what: str, send: Callable[[], httpx.Response], *, again: bool
    ) -> httpx.Response:
        """Send until there is an answer. `again`: it may arrive twice."""
        import httpx

        pause, throttled, broken, told = _FIRST, 0.0, 0.0, False
        while True:
            stopping.check()
            arrived, wait, why, begun = False, 0.0, "", time.monotonic()
            try:
                answer = send()
                self._met = True
                if answer.status_code != 429 and answer.status_code < 500:
                    if told:
                        waits.over("Atlas answers again")
                    return answer
                said = detail_of(answer.content)
                why = f"status {answer.status_code}{said and f', {said}'}"
                wait = _asked_for(answer)
                arrived = answer.status_code != 429
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                _refuse_certificate(error, self.url)
                why = "no connection"
            except httpx.TransportError as error:
                why, arrived = type(error).__name__, True
            wait = wait or pause * random.uniform(0.7, 1.3)  # noqa: S311 - spreads requests
            pause = min(_LONGEST, pause * 2)
            limited = why.startswith("status 429")
            lost = wait + time.monotonic() - begun
            throttled, broken = throttled + lost * limited, broken + lost * (not limited)
            patience = _BROKEN if self._met or arrived else _UNMET
            if throttled > _THROTTLED or broken > patience:
                raise UnobservableError(
                    f"Atlas does not answer {what}: {why}",
                    "its limit of requests is reached: run the same command again later"
                    if limited
                    else f"check the network and https://status.mongodb.com ({self.url})",
                )
            if wait > _TOLD:
                told = True
                self.tell(f"Atlas: {why}; next try in {wait:.0f} s")
            stopping.sleep(max(_SHORTEST, wait) * self._pace)
            if arrived and not again:
                raise LostError(f"Atlas did not say whether it did {what}: {why}")

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None,
        query: Mapping[str, object],
    ) -> httpx.Response:
        """Once, and once more with a new token where Atlas refuses the one that we have."""

        def once(more: Mapping[str, str]) -> httpx.Response:
            given = {**headers, **more}
            return self._logged(method, path, headers=given, content=content, params=dict(query))

        if self._tokens is None:
            return once({})
        token = self._tokens.token()
        answer = once({"Authorization": f"Bearer {token}"})
        if answer.status_code != 401 or code_of(answer.content) not in _NO_TOKEN:
            return answer
        # it was revoked, or a clock is wrong
        return once({"Authorization": f"Bearer {self._tokens.token(refused=token)}"})

    def _logged(self, method: str, path: str, **rest: Any) -> httpx.Response:
        begun, self.requests = time.monotonic(), self.requests + 1
        answer = self._client.request(method, path, **rest)
        took = 1000 * (time.monotonic() - begun)
        log.say(__name__, f"{method} {path}: {answer.status_code} ({took:.0f} ms)")
        return answer

    def _fetch(self) -> tuple[str, float]:
        """A new token. Raises AtlasError."""
        name, secret = self.given.name, self.given.secret.reveal()
        answer = self._tried(
            "POST /api/oauth/token",
            lambda: self._logged(
                "POST",
                _TOKEN,
                auth=(name, secret),
                headers={"Accept": "application/json"},
                data={"grant_type": "client_credentials"},
            ),
            again=True,
        )
        if answer.is_success:
            return token_of(answer)
        error = refusal(answer.status_code, answer.headers, answer.content, "the login")
        hint = (
            "the service account or its secret is wrong or expired: make a new secret (Atlas: "
            "Organization, Applications), then 'mngdb secret set atlas_client-secret'"
        )
        raise AtlasError(error.message, hint, error.status, error.code)


def _asked_for(answer: httpx.Response) -> float:
    """Seconds that Atlas asks to wait; 0: it does not say."""
    text = answer.headers.get("retry-after", "")
    if text.isdigit():
        return max(_SHORTEST, float(text))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(_SHORTEST, (moment - datetime.now(tz=UTC)).total_seconds())


def _read(answer: httpx.Response, what: str) -> Any:
    if not answer.content:
        return {}
    try:
        return answer.json()
    except ValueError:
        raise MngdbError(
            f"the answer to {what} is not JSON", "is the 'url' that of Atlas?"
        ) from None


def _refuse_certificate(error: BaseException, url: str) -> None:
    """Raise ConnectError where the server did not prove who it is: nothing was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise ConnectError(
                f"{url} has a certificate that is not trusted: {cause.verify_message}",
                "set SSL_CERT_FILE to the CA file of the proxy, if there is one",
                "tls",
            ) from None
        cause = cause.__cause__ or cause.__context__
