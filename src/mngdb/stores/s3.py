"""A store in a bucket that speaks S3, at AWS or anywhere else."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from mngdb.spec.file import GIVE_LOGIN, NEW_LOGIN
from mngdb.stores import Entry, MissingError, StoreError

if TYPE_CHECKING:
    from obstore.store import S3Store

#: Objects to remove with one request: more than 1000 are refused.
_AT_ONCE = 500
#: How long a server may say nothing while an object is read; how long it may take in all to read
#: one, and to write one, of which four share a slow line; and how long the library tries a request
#: again. Who calls goes on for longer.
_SILENT, _READ, _WRITE = timedelta(seconds=60), timedelta(hours=1), timedelta(minutes=5)
_RETRY = timedelta(seconds=10)

#: Ends of hosts that list by marker (ListObjects), and have no version 2: Naver Cloud.
_BY_MARKER = ("ncloudstorage.com",)

#: A part of S3's errors, which are XML.
_TAG = "<{0}>([^<]+)</{0}>"
#: What the library says where the key may not do something: for a list, it has no error of its own.
_REFUSED = re.compile(r"status code: 40[13]\b")
#: Where a machine asks for the login of its own role.
_ROLE = re.compile(r" https?://169\.254\.")
#: What will be the same next time: a request that is wrong, another region, another protocol.
_LASTING = re.compile(
    r"status code: 4(?!08|29)\d\d|redirect without LOCATION|InvalidMessage|InvalidCertificate"
)
_ENDPOINT = "check 'endpoint:' and 'region:' under 'backup: {store: …}' in the file"
#: What the operating system says of a connection, in the library's account of an error.
_INNERMOST = r'\b(?:message|error): "([^"]+)"'


class BucketStore:
    """Objects in `bucket` whose keys begin with `prefix`. `options` are obstore's names of S3
    settings (endpoint, region, access_key_id, …); what is missing comes from the environment or
    from the machine's own role, as in AWS' tools."""

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, str]) -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self._options = dict(options)
        host = urlsplit(self._options.get("endpoint", "")).hostname or ""
        self._by_marker = self._options.pop("list", "") == "1" or host.endswith(_BY_MARKER)

    @property
    def place(self) -> str:
        return "s3://" + "/".join(filter(None, (self._bucket, self._prefix)))

    @cached_property
    def _reader(self) -> S3Store:
        # while it is written to, a server says nothing: there, this limit would be one of all
        return self._client(timeout=_READ, read_timeout=_SILENT)

    @cached_property
    def _writer(self) -> S3Store:
        return self._client(timeout=_WRITE)

    def _client(self, **limits: timedelta) -> S3Store:
        from obstore.store import S3Store

        plain = self._options.get("endpoint", "").startswith("http://")
        # no checksums or conditions in headers: several servers refuse them
        config: Any = {"virtual_hosted_style_request": False, **self._options}
        options: Any = {"allow_http": plain, **limits}
        with self._told("open"):
            return S3Store(
                self._bucket,
                prefix=self._prefix or None,
                config=config,
                client_options=options,
                retry_config={"max_retries": 5, "retry_timeout": _RETRY},
            )

    def put(self, key: str, data: bytes) -> None:
        import obstore

        with self._told("write"):
            obstore.put(self._writer, key, data, use_multipart=False)

    def get(self, key: str, most: int | None = None) -> bytes:
        import obstore

        with self._told("read"):
            found = obstore.get(self._reader, key)
            if most is not None and found.meta["size"] > most:
                return _begun(found.stream(), most + 1)  # not every server gives a range
            return bytes(found.bytes())

    def entries(self, prefix: str) -> Iterator[Entry]:
        import obstore

        if self._by_marker:
            yield from self._entries_by_marker(prefix)
            return
        with self._told("list"):
            for page in obstore.list(self._reader, prefix):
                for one in page:
                    yield Entry(one["path"], one["size"], one["last_modified"].timestamp())

    def _entries_by_marker(self, prefix: str) -> Iterator[Entry]:
        from mngdb.stores import s3_list

        def given(name: str) -> str:
            return self._options.get(name) or os.environ.get(f"AWS_{name.upper()}", "")

        login = s3_list.Login(
            endpoint=self._options["endpoint"],
            bucket=self._bucket,
            region=given("region") or "us-east-1",
            key=given("access_key_id"),
            secret=given("secret_access_key"),
            token=given("session_token"),
        )
        if not (login.key and login.secret):
            why = "none is in the vault or the environment"
            raise StoreError(f"there is no login for {self.place}: {why}", GIVE_LOGIN)
        head = f"{self._prefix}/" if self._prefix else ""
        for one in s3_list.entries(login, f"{head}{prefix}/"):
            yield replace(one, key=one.key.removeprefix(head))

    def delete(self, keys: Iterable[str]) -> None:
        import obstore

        left = iter(keys)
        while some := list(islice(left, _AT_ONCE)):
            with self._told("remove"):
                obstore.delete(self._writer, some)

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        from obstore import exceptions

        try:
            yield
        except (exceptions.BaseError, FileNotFoundError, ValueError) as error:
            raise self._error(what, error) from None

    def _error(self, what: str, error: Exception) -> StoreError:
        """What an error of the library's means, where `what` was done."""
        from obstore import exceptions

        text, said = str(error), _sentence(error)
        if "NoSuchBucket" in text:
            return StoreError(
                f"there is no bucket {self._bucket!r}: {said}",
                f"create it, or name another one under 'backup: {{store: …}}'; {_ENDPOINT}",
            )
        if isinstance(error, (exceptions.NotFoundError, FileNotFoundError)):
            return MissingError(f"{self.place}: no such object")
        if _ROLE.search(text):
            why = "none is in the vault or the environment, and this machine has no role"
            return StoreError(f"there is no login for {self.place}: {why}", GIVE_LOGIN)
        if _REFUSED.search(text):
            return StoreError(f"{self.place} refuses to {what}: {said}", NEW_LOGIN)
        if what == "open":  # nobody was asked yet
            hint = GIVE_LOGIN if "Missing" in said else _ENDPOINT
            return StoreError(f"{self.place} cannot be used: {said}", hint)
        passing = isinstance(error, exceptions.GenericError) and not _LASTING.search(text)
        return StoreError(f"cannot {what} in {self.place}: {said}", _ENDPOINT, passing=passing)


def _begun(chunks: Iterable[Any], size: int) -> bytes:
    """The first bytes of what is being read."""
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) >= size:
            break
    return bytes(found[:size])


def _sentence(error: BaseException) -> str:
    """What the server says, without the library's account of where that was found."""
    text = str(error)
    said = [found[1] for tag in ("Code", "Message") if (found := re.search(_TAG.format(tag), text))]
    if said:
        return ": ".join(said)
    if status := re.search(r"status code: (\d{3} [A-Za-z ]+)", text):
        return f"the server answers {status[1]}"
    host, why = re.search(r" https?://([^/?\s]+)", text), re.findall(_INNERMOST, text)
    if host and "InvalidMessage" in text:
        return f"{host[1]} does not speak TLS: http:// instead of https://?"
    if host and "InvalidCertificate" in text:
        return f"the certificate of {host[1]} is not valid"
    if host and (why or "kind: Timeout" in text):
        return f"{host[1]}: {why[-1] if why else 'no answer in time'}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].removeprefix("Generic S3 error: ") if lines else type(error).__name__
