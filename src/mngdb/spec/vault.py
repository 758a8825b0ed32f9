"""Where secrets are stored, and what the guide's variables say of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mngdb.errors import UsageError
from mngdb.spec.base import Model
from mngdb.spec.units import Duration

#: Variables of the production guide, of which the file has the last word.
USE, REGION, NAME, FAIL_OPEN = (
    *("USE_AWS_SECRETS", "AWS_REGION", "AWS_SECRET_NAME"),
    "AWS_SECRETS_FAIL_OPEN",
)
_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off", ""})


def _name(value: str) -> str:
    # Secrets Manager takes 512 characters; the names of apps and secrets come behind it
    if not re.fullmatch(r"[A-Za-z0-9/_+=.@-]{1,400}", value) or value.strip("/") != value:
        raise ValueError(
            f"{value[:40]!r} is not a name in AWS Secrets Manager; write one as chat-app/database"
        )
    return value


def _region(value: str) -> str:
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}", value):
        raise ValueError(f"{value[:40]!r} is not an AWS region; write one as us-east-1")
    return value


def _endpoint(value: str) -> str:
    loopback = r"http://(127(\.\d{1,3}){3}|localhost|\[::1\])"
    if not re.fullmatch(rf"(https://[A-Za-z0-9.\[\]:-]+|{loopback}(:\d{{1,5}})?)(/[!-~]*)?", value):
        raise ValueError("an endpoint is https://HOST, or http:// on this machine's loopback")
    return value


class AwsSecrets(Model):
    """Secrets in AWS Secrets Manager. Credentials come from where AWS's own tools have them
    (AWS_PROFILE, AWS_ACCESS_KEY_ID, the machine's role)."""

    name: Annotated[str, AfterValidator(_name)] | None = None
    """Name of the secret that holds all of the stack's secrets as one JSON document; what an app
    reads is the secret NAME/APP. Default: AWS_SECRET_NAME."""
    region: Annotated[str, AfterValidator(_region)] | None = None
    """Region. Default: AWS_REGION, then the profile's."""
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    """URL of the service, for a VPC endpoint without private DNS. Default: the region's."""
    each: bool = False
    """Whether each value is a secret of its own, NAME/SECRET, instead of one document (64 KiB) of
    all."""
    fail_open: bool | None = None
    """What to do when AWS cannot be asked: `false` stops `up` and `env`; `true` uses the last good
    copy, which is kept encrypted on this machine, and says so. Default: AWS_SECRETS_FAIL_OPEN,
    then `false`."""
    max_age: Duration = timedelta(hours=24)
    """How old that copy may be."""
    kms_key: str | None = None
    """KMS key (id, ARN or alias) that new secrets are encrypted with. Default: the account's key
    for Secrets Manager."""


class Vault(Model):
    """Where secrets are stored: `files`, `environ`, `{files: {path: …}}` or
    `{aws: {name: …}}`."""

    kind: Literal["files", "environ", "aws"] = "files"
    """`files`: one file per secret, readable by its owner only. `environ`: variables named
    MNGDB_SECRET_INSTANCE_LOGIN, set outside of mngdb. `aws`: AWS Secrets Manager
    (docs/secrets.md). Default: `aws` if USE_AWS_SECRETS is true, else `files`."""
    path: str | None = None
    """Folder of the secret files. Default: `secrets` in the stack's own directory
    (docs/state.md)."""
    readers: dict[str, str] = Field(default_factory=dict)
    """With `files`: for each app, the group (name or number) whose members may read what
    `mngdb.client` reads. Default: the account that runs mngdb alone."""
    aws: AwsSecrets | None = None
    """AWS Secrets Manager."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and set(value) == {"files"}:
            files = value["files"]
            if files is not None and not isinstance(files, dict):
                raise ValueError("write {files: {path: FOLDER}}")
            if "kind" in (files or {}):
                raise ValueError("write {files: {path: FOLDER}}")
            return {"kind": "files", **(files or {})}
        if isinstance(value, dict) and "files" in value:
            raise ValueError("name exactly one of 'files', 'environ' and 'aws'")
        if isinstance(value, dict) and set(value) == {"aws"}:
            return {"kind": "aws", "aws": {} if value["aws"] is None else value["aws"]}
        return value

    @model_validator(mode="after")
    def _path_is_for_files(self) -> Vault:
        if self.path is not None and self.kind != "files":
            raise ValueError("a path is for the files vault only")
        if self.readers and self.kind != "files":
            raise ValueError("readers are for the files vault only")
        if self.aws is not None and self.kind != "aws":
            raise ValueError("aws is for the aws vault only")
        return self


#: The document of the keys that tokens are signed with, which the guide calls so.
JWT = "jwt-secrets"


def document_name(name: str, app: str) -> str:
    """The secret of AWS that an app reads: NAME/APP. That of the signing keys stands beside NAME:
    chat-app/jwt-secrets beside chat-app/database."""
    if app == JWT and "/" in name:
        return f"{name.rpartition('/')[0]}/{app}"
    return f"{name}/{app}"


def flag(environ: Mapping[str, str], name: str) -> bool | None:
    """What a variable says; None: it is not set. Raises UsageError for what is neither."""
    given = environ.get(name)
    if given is None:
        return None
    word = given.strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise UsageError(f"{name} has to be true or false, not {given[:20]!r}")


def settled(vault: Vault, environ: Mapping[str, str]) -> Vault:
    """The vault with what the file leaves to the environment. Raises UsageError."""
    if vault.kind != "aws" and not (_unsaid(vault) and flag(environ, USE)):
        return vault
    said = vault.aws or AwsSecrets()
    place = environ.get(REGION) or environ.get("AWS_DEFAULT_REGION")
    aws = said.model_copy(
        update={
            "name": said.name or _checked(NAME, environ.get(NAME), _name),
            "region": said.region or _checked(REGION, place, _region),
            "fail_open": _first(said.fail_open, flag(environ, FAIL_OPEN), False),
        }
    )
    if aws.name is None:
        raise UsageError(
            "the vault 'aws' has no name",
            f"vault: {{aws: {{name: chat-app/database}}}} in the file, or {NAME}",
        )
    return Vault(kind="aws", aws=aws)


def contradictions(vault: Vault, environ: Mapping[str, str]) -> Iterator[str]:
    """What the environment says and the file overrules. Raises UsageError."""
    use = flag(environ, USE)
    if use is not None and use != (vault.kind == "aws") and not _unsaid(vault):
        yield f"{USE} is {str(use).lower()}, but the file says 'vault: {vault.kind}': the file wins"
    if vault.aws is None:
        return
    fail_open = flag(environ, FAIL_OPEN)
    pairs = (
        (NAME, "name", vault.aws.name, environ.get(NAME)),
        (REGION, "region", vault.aws.region, environ.get(REGION)),
        (FAIL_OPEN, "fail_open", vault.aws.fail_open, fail_open),
    )
    for variable, key, ours, theirs in pairs:
        if ours is not None and theirs is not None and ours != theirs:
            yield f"{variable} is {theirs}, but the file says '{key}: {ours}': the file wins"


def _unsaid(vault: Vault) -> bool:
    return not vault.model_fields_set


def _checked(variable: str, value: str | None, check: Callable[[str], str]) -> str | None:
    try:
        return check(value) if value else None
    except ValueError as error:
        raise UsageError(f"{variable}: {error}") from None


def _first(*values: bool | None) -> bool | None:
    return next((value for value in values if value is not None), None)
