"""ListObjects, version 1, for buckets that do not have version 2 (Naver Cloud), which is all that
the library asks for.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html, signed as
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from msgspec import Struct

from mngdb.stores import Entry, StoreError

#: Seconds for a page of 1000 names; tries, of which all but the last may fail.
_TIMEOUT, _TRIES = 60.0, 3
_EMPTY = hashlib.sha256(b"").hexdigest()


class Login(Struct, frozen=True):
    """Where a bucket is, and who asks."""

    endpoint: str
    bucket: str
    region: str
    key: str
    secret: str
    token: str = ""


def entries(login: Login, prefix: str) -> Iterator[Entry]:
    """The objects whose keys begin with `prefix`, with these whole keys. Raises StoreError."""
    marker = ""
    while True:
        document = _page(login, prefix, marker)
        last = ""
        for one in document.iterfind("{*}Contents"):
            last = one.findtext("{*}Key") or ""
            changed = datetime.fromisoformat(one.findtext("{*}LastModified") or "")
            yield Entry(last, int(one.findtext("{*}Size") or 0), changed.timestamp())
        if document.findtext("{*}IsTruncated") != "true":
            return
        following = document.findtext("{*}NextMarker") or last
        if following <= marker:
            raise StoreError(f"s3://{login.bucket}: the server lists without end")
        marker = following


def _page(login: Login, prefix: str, marker: str) -> ET.Element:
    import httpx

    query = {"marker": marker, "max-keys": "1000", "prefix": prefix}
    url = f"{login.endpoint.rstrip('/')}/{quote(login.bucket)}"
    said = ""
    for _ in range(_TRIES):
        asked = _canonical(query)
        headers = _signed(login, urlsplit(url).path, asked, datetime.now(tz=UTC))
        try:
            answer = httpx.get(f"{url}?{asked}", headers=headers, timeout=_TIMEOUT)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            continue
        if answer.status_code < 500:
            break
        said = f"the server answers {answer.status_code}"
    else:
        raise StoreError(f"cannot list in s3://{login.bucket}: {said}", passing=True)
    if b"<!DOCTYPE" in answer.content:
        raise StoreError(f"cannot list in s3://{login.bucket}: the answer is not S3's")
    try:
        document = ET.fromstring(answer.content)  # noqa: S314 - without a DTD
    except ET.ParseError:
        document = ET.Element("none")
    if answer.status_code != 200 or not document.tag.endswith("ListBucketResult"):
        why = document.findtext("{*}Message") or document.findtext("Message")
        raise StoreError(
            f"cannot list in s3://{login.bucket}: {why or f'HTTP status {answer.status_code}'}",
            "check 'endpoint:' and 'region:' under 'backup: {store: …}' in the file",
        )
    return document


def _canonical(query: dict[str, str]) -> str:
    return "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(query.items()))


def _signed(login: Login, path: str, query: str, now: datetime) -> dict[str, str]:
    """The headers of a request, its signature (SigV4) among them."""
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {
        "host": urlsplit(login.endpoint).netloc,
        "x-amz-content-sha256": _EMPTY,
        "x-amz-date": moment,
        **({"x-amz-security-token": login.token} if login.token else {}),
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = "\n".join(("GET", path, query, lines, names, _EMPTY))
    scope = f"{day}/{login.region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{login.secret}".encode()
    for word in (day, login.region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, digest))
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return headers | {
        "authorization": f"AWS4-HMAC-SHA256 Credential={login.key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    }
