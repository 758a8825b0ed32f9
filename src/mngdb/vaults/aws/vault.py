"""A vault in AWS Secrets Manager: one JSON document of all secrets, or a secret for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from mngdb.errors import SecretError
from mngdb.secret import Secret
from mngdb.spec.vault import AwsSecrets, document_name
from mngdb.vaults import VERSIONS, Entry, Version, usable
from mngdb.vaults.aws.client import AbsentError, AwayError, Client, DeletedError
from mngdb.vaults.aws.document import TAG, Content, Document, Held
from mngdb.vaults.aws.memory import Memory

#: The key of a document under which is when each value was put. No secret's name has a dot.
_CHANGED = "mngdb.changed"
#: Secrets that AWS gives with one request; days in which a deleted one can be restored.
_BATCH, _RECOVERY = 20, 30
#: What AWS's own tools read from the environment, and what is ours.
_VARIABLES = (
    *("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    *("AWS_EC2_METADATA_DISABLED", "USE_AWS_SECRETS", "AWS_SECRET_NAME"),
    "AWS_SECRETS_FAIL_OPEN",
)


class AwsVault:
    """Keeps secrets in AWS. A command reads all that it needs with one request."""

    folder = None
    #: Each question costs money, and 50 ms. As mngdb.client has it (MNGDB_SETTINGS_AGE).
    fresh = 30.0

    def __init__(self, settings: AwsSecrets, stack: str, client: Client, memory: Memory) -> None:
        """`settings` with their name, as `spec.vault.settled` gives them."""
        assert settings.name is not None  # noqa: S101 - settled
        self._settings = settings
        self._name = settings.name
        self._stack = stack
        self._client = client
        self._memory = memory
        self._owned: set[str] = set()

    @property
    def writable(self) -> bool:
        """Not while an old copy stands in for AWS."""
        return not self.stands_in

    @property
    def stands_in(self) -> bool:
        return self._memory.stood_in

    def where(self, name: str) -> str:
        region = f" ({self._client.region})" if self._client.region else ""
        if self._settings.each:
            return f"AWS secret {self._name}/{name}{region}"
        return f"AWS secret {self._name}{region}, key {name}"

    def files(self, names: Iterable[str]) -> list[Path]:
        return []

    def documents(self, apps: Iterable[str]) -> list[Path]:
        return []

    def variables(self, names: Iterable[str]) -> list[str]:
        return list(_VARIABLES)

    def exposed(self, names: Iterable[str], apps: Iterable[str]) -> list[str]:
        documents = [document for document, _ in self._groups(names)]
        documents += [self._published(app) for app in apps]
        return [f"{one.name}: {who}" for one in documents for who in one.let_in()]

    def check_writable(self, names: Sequence[str]) -> None:
        if not self.writable:
            raise SecretError(
                f"secrets are missing ({', '.join(names)}), and AWS cannot be asked",
                "try again when it can",
            )

    # --- reading

    def get_many(self, names: Iterable[str], version: Version = "current") -> dict[str, Entry]:
        names = list(names)
        if not names:
            return {}
        if version != "current":
            return self._others(names, version)
        try:
            found = self._each(names) if self._settings.each else self._whole(names)
        except AwayError as error:
            values = self._memory.stand_in(error)
            return {n: self._entry(n, values[n], None) for n in names if n in values}
        good = {name: one.secret for name, one in found.items() if one.secret is not None}
        self._remember(good, names)
        return found

    def _whole(self, names: Sequence[str]) -> dict[str, Entry]:
        held = self._document().now()
        if not held.id:
            self._memory.check_absence(self._client.region)
        times = _times(held.content)
        return {
            name: self._entry(name, held.content[name], times.get(name, held.made))
            for name in names
            if name in held.content
        }

    def _each(self, names: Sequence[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        places = {f"{self._name}/{name}": name for name in names}
        for answer, problem in self._batch(list(places)):
            name = places[answer["Name"]]
            if problem is not None:
                found[name] = Entry(None, problem)
                continue
            held = self._document(name).held(answer)
            if name in held.content:
                found[name] = self._entry(name, held.content[name], held.made)
        witness = self._memory.witness
        if not found and witness and not (witness not in names and self._each([witness])):
            self._memory.check_absence(self._client.region)
        return found

    def _batch(self, secrets: Sequence[str]) -> Iterator[tuple[dict[str, Any], SecretError | None]]:
        """What AWS has of them, without those that it does not have; one to be deleted is a
        problem. Raises SecretError."""
        for start in range(0, len(secrets), _BATCH):
            chosen = list(secrets[start : start + _BATCH])
            answer = self._client("batch_get_secret_value", chosen[0], SecretIdList=chosen)
            for one in answer["SecretValues"]:
                yield one, None
            for one in answer.get("Errors", ()):
                error = self._client.refusal("get_secret_value", one)
                if isinstance(error, DeletedError):
                    yield {"Name": one["SecretId"]}, error
                elif not isinstance(error, AbsentError):
                    raise error

    def _others(self, names: Sequence[str], version: Version) -> dict[str, Entry]:
        """Versions besides the current ones, where they differ from those. A copy has none."""
        if self.stands_in:
            return {}
        found: dict[str, Entry] = {}
        for document, keys in self._groups(names):
            try:
                held = document.read(version)
                there = any(key in held.content for key in keys)
                other = _differing(held, document.now()) if there else {}
            except DeletedError:
                continue
            found |= {k: self._entry(k, other[k], held.made) for k in keys if k in other}
        return found

    def _entry(self, name: str, value: object, changed: object) -> Entry:
        when = float(changed) if isinstance(changed, int | float) else None
        place = f"{name} ({self.where(name)})"
        if not isinstance(value, str):
            return Entry(None, SecretError(f"the secret {place} is not a text"), when)
        try:
            return Entry(usable(place, value), None, when)
        except SecretError as error:
            return Entry(None, error, when)

    # --- writing

    def put(
        self, secrets: Mapping[str, Secret], version: Literal["current", "pending"] = "current"
    ) -> None:
        values = {name: secret.reveal() for name, secret in secrets.items()}
        for document, keys in self._groups(values):
            new = {key: values[key] for key in keys}
            if version == "current":
                self._set(document, new)
                self._remember({key: secrets[key] for key in keys}, keys)
            else:
                with suppress(AbsentError):
                    self._check_owner(document)
                document.change("pending", lambda was, new=new: was | new)  # type: ignore[misc]

    def promote(self, names: Sequence[str]) -> None:
        waiting: list[tuple[Document, Held, Held, dict[str, str]]] = []
        for document, keys in self._groups(names):
            now, pending = document.now(), document.read("pending")
            ready = _differing(pending, now)
            ready = {key: ready[key] for key in keys if key in ready}
            if ready:
                waiting.append((document, now, pending, ready))
        if not waiting:
            raise SecretError(f"no pending version of {', '.join(names)}")
        for document, now, pending, ready in waiting:
            self._set(document, ready, now, previous=True)
            document.change("pending", lambda was, gone=ready: _without(was, gone), now=pending)  # type: ignore[misc]

    def delete(self, names: Sequence[str], versions: Sequence[Version] = VERSIONS) -> None:
        if "current" in versions:
            self._remember({}, names)  # no copy of what is to go
        for document, keys in self._groups(names):
            if self._settings.each and set(versions) == set(VERSIONS):
                self._remove(document)
                continue
            with suppress(AbsentError):
                self._check_owner(document)
            if "pending" in versions:
                document.change("pending", lambda was, gone=keys: _without(was, gone))  # type: ignore[misc]
            if "current" in versions:
                self._set(document, {}, gone=keys)
            if "previous" in versions:
                document.change("previous", lambda was, gone=keys: _without(was, gone))  # type: ignore[misc]

    def _set(
        self,
        document: Document,
        new: Mapping[str, str],
        now: Held | None = None,
        *,
        gone: Iterable[str] = (),
        previous: bool = False,
    ) -> None:
        """Replace current values, and take some away. With `previous`, what they were becomes the
        previous ones. AWS makes the whole old document the previous one by itself, so that those of
        others are put back."""
        now = now or document.now()
        if now.id:
            self._check_owner(document)
        elif not new:
            return
        before = _differing(document.read("previous"), now) if now.id else {}
        wanted = before | ({k: now.content[k] for k in new if k in now.content} if previous else {})

        def edit(was: Content) -> Content:
            content = _without(was, gone) | dict(new)
            if not self._settings.each:
                times = {k: t for k, t in _times(was).items() if k in content}
                content[_CHANGED] = times | dict.fromkeys(new, int(time.time()))
            return content

        was = document.change("current", edit, [*new, *gone], now)
        natural = {k: v for k, v in was.content.items() if edit(was.content).get(k) != v}
        natural.pop(_CHANGED, None)
        if now.id and natural != wanted:
            document.change("previous", lambda _: dict(wanted))

    def _remember(self, secrets: Mapping[str, Secret], asked: Iterable[str]) -> None:
        values = {name: secret.reveal() for name, secret in secrets.items()}
        self._memory.remember(values, asked, self._client.region)

    # --- what apps read

    def publish(self, app: str, settings: Mapping[str, str]) -> None:
        document = self._published(app)
        try:
            self._check_owner(document)
        except AbsentError:
            document.make(settings)
        else:
            document.replace(settings)

    def published(self, apps: Iterable[str]) -> dict[str, dict[str, str]]:
        places = {document_name(self._name, app): app for app in apps}
        found = {}
        for answer, problem in self._batch(list(places)):
            app = places[answer["Name"]]
            try:
                content = self._published(app).held(answer).content if problem is None else None
            except SecretError:
                content = None  # no document: what is published next replaces it
            if content is not None:
                found[app] = {name: str(value) for name, value in content.items()}
        return found

    def unpublish(self, app: str) -> None:
        self._remove(self._published(app))

    # --- secrets of AWS

    def _groups(self, names: Iterable[str]) -> list[tuple[Document, list[str]]]:
        """The secrets of AWS that hold these values, each with those that it holds."""
        if self._settings.each:
            return [(self._document(name), [name]) for name in names]
        return [(self._document(), list(names))]

    def _document(self, key: str | None = None) -> Document:
        name = self._name if key is None else f"{self._name}/{key}"
        return Document(self._client, name, key, **self._made("secrets of its databases"))

    def _published(self, app: str) -> Document:
        made = self._made(f"what {app} reads")
        return Document(self._client, document_name(self._name, app), **made)

    def _made(self, what: str) -> dict[str, Any]:
        made: dict[str, Any] = {
            "Description": f"mngdb stack {self._stack}: {what}",
            "Tags": [{"Key": TAG, "Value": self._stack}],
        }
        if self._settings.kms_key:
            made["KmsKeyId"] = self._settings.kms_key
        return made

    def _remove(self, document: Document) -> None:
        try:
            self._check_owner(document)
        except AbsentError:
            return
        document.remove(_RECOVERY)

    def _check_owner(self, document: Document) -> None:
        """Raises SecretError for a secret that another stack made, or that nobody named: the one
        that the file names may be made by hand."""
        if document.name in self._owned:
            return
        owner = document.owner()
        if owner not in {self._stack, *([None] if document.name == self._name else [])}:
            by = f"belongs to the stack {owner}" if owner else "was not made by mngdb"
            raise SecretError(
                f"the AWS secret {document.name} {by}: it is not changed",
                "name another one in the file, or give it to this stack: aws secretsmanager "
                f"tag-resource --secret-id {document.name} --tags Key={TAG},Value={self._stack}",
            )
        self._owned.add(document.name)


def _times(content: Content) -> dict[str, Any]:
    found = content.get(_CHANGED)
    return found if isinstance(found, dict) else {}


def _differing(other: Held, now: Held) -> dict[str, Any]:
    """Values of another version that are not the current ones. AWS moves whole documents."""
    found = {k: v for k, v in other.content.items() if now.content.get(k) != v}
    found.pop(_CHANGED, None)
    return found


def _without(content: Content, gone: Iterable[str]) -> Content:
    gone = set(gone)
    return {key: value for key, value in content.items() if key not in gone}


def open_aws(
    settings: AwsSecrets,
    stack: str,
    state: Path | None,
    environ: Mapping[str, str],
    warn: Callable[[str], None],
) -> AwsVault:
    """The vault that the settings name. `state` is the stack's folder; None: nothing is kept on
    this machine."""
    client = Client(settings, stack, environ)
    return AwsVault(settings, stack, client, Memory(settings, state, warn))
