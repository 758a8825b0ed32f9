"""One secret of AWS, with its versions: AWSCURRENT, AWSPENDING and AWSPREVIOUS.

AWS has no "write only if nobody else has". But it refuses a version id that it knows with another
content, and the id of a version may be chosen: ours follows from that of the version that it
replaces. Of two that replace the same one, the second is refused, reads again and goes on from
there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from mngdb.errors import SecretError
from mngdb.vaults import Version
from mngdb.vaults.aws.client import AbsentError, Client, DeletedError, ExistsError
from mngdb.vaults.aws.policy import let_in

LABELS: Mapping[Version, str] = {
    "current": "AWSCURRENT",
    "pending": "AWSPENDING",
    "previous": "AWSPREVIOUS",
}
#: Marks what mngdb makes; the value is the stack's name.
TAG = "mngdb-stack"
#: Bytes that AWS takes.
LIMIT = 65_536
#: How often a change is begun anew because others were faster.
_TRIES = 8
_SPACE = uuid.UUID("5b6f2c0e-6f0a-4d53-9b1e-3b7d7b1b5a11")
#: What a secret of one value holds where the value is not there (yet): AWS keeps no empty text.
_NOTHING = "(none)"

Content = dict[str, Any]
Edit = Callable[[Content], Content]


class Held(Struct, frozen=True):
    """A version: its id (empty: there is none), what it holds, and when it was made, in seconds
    since the epoch."""

    id: str
    content: Content
    made: float | None = None


class Document:
    """The secret called `name`. With `key` it holds one value, that of this key, as plain text;
    without, a JSON object."""

    def __init__(self, client: Client, name: str, key: str | None = None, **made: Any) -> None:
        """`made`: how it is made where there is none, as CreateSecret takes it."""
        self.name = name
        self._client = client
        self._key = key
        self._made = made

    def read(self, version: Version = "current") -> Held:
        """What it holds now. Raises SecretError, and AbsentError where there is no such secret."""
        label = LABELS[version]
        try:
            answer = self._client(
                "get_secret_value", self.name, SecretId=self.name, VersionStage=label
            )
        except AbsentError:
            if version == "current":
                raise
            return Held("", {})
        return self.held(answer)

    def held(self, answer: Mapping[str, Any]) -> Held:
        """A version as AWS answers it. Raises SecretError for one of another form."""
        text, made = answer.get("SecretString"), answer.get("CreatedDate")
        when = made.timestamp() if made is not None else None
        if self._key is not None:
            found = {} if text in {None, _NOTHING} else {self._key: text}
            return Held(answer["VersionId"], found, when)
        try:
            content = json.loads(text or "")
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise SecretError(
                f"the AWS secret {self.name} does not hold a JSON object",
                "correct it, or name another secret in the file: vault: {aws: {name: …}}",
            )
        return Held(answer["VersionId"], content, when)

    def change(
        self,
        version: Version,
        edit: Edit,
        touched: Iterable[str] = (),
        now: Held | None = None,
    ) -> Held:
        """Replace a version, which was `now` a moment ago, by what `edit` makes of it, and return
        what was there before. A secret that is not there is made. Begun anew where others were
        faster; what they changed of the keys `touched` is not overwritten. Raises SecretError."""
        first, salt = now or self.now(version), 0
        base = first
        for _ in range(_TRIES):
            wanted = edit(base.content)
            if wanted == base.content and (base.id or version != "current"):
                return base
            try:
                self._put(version, base, wanted, salt)
            except ExistsError:
                found = self.now(version)
                # the id may also be of old times: somebody gave its label back to an old version
                salt = salt + 1 if found.id == base.id else 0
                for key in touched:
                    if found.content.get(key) != first.content.get(key):
                        raise SecretError(
                            f"{key} in the AWS secret {self.name} was changed by somebody else at "
                            "the same moment",
                            "look who it was, then run the same command again",
                        ) from None
                base = found
            else:
                return base
        raise SecretError(f"the AWS secret {self.name} is changed by others all the time")

    def now(self, version: Version = "current") -> Held:
        """As `read`; empty where there is no such secret."""
        try:
            return self.read(version)
        except AbsentError:
            return Held("", {})

    def _put(self, version: Version, base: Held, content: Content, salt: int) -> None:
        text = self._text(content)
        if version != "current" and not base.id:
            self._ensure()
        name = f"{self.name} {version} {base.id} {salt}"
        token = str(uuid.uuid5(_SPACE, name))
        if version == "current" and not base.id:
            self._create(text, token)
            return
        self._client(
            "put_secret_value",
            self.name,
            SecretId=self.name,
            SecretString=text,
            ClientRequestToken=token,
            VersionStages=[LABELS[version]],
        )

    def _ensure(self) -> None:
        """The first version of a secret is the current one, whatever its label: one without values
        comes before it."""
        try:
            self.read()
        except AbsentError:
            self._create(self._text({}), str(uuid.uuid4()))

    def _create(self, text: str, token: str) -> None:
        self._client(
            "create_secret",
            self.name,
            Name=self.name,
            SecretString=text,
            ClientRequestToken=token,
            **self._made,
        )

    def _text(self, content: Content) -> str:
        if self._key is not None:
            text = str(content.get(self._key, _NOTHING))
        else:
            text = json.dumps(content, ensure_ascii=False, sort_keys=True)
        size = len(text.encode())
        if size > LIMIT:
            raise SecretError(
                f"the AWS secret {self.name} would have {size} bytes, of which AWS takes {LIMIT}",
                "vault: {aws: {each: true}} keeps each value in a secret of its own",
            )
        return text

    def owner(self) -> str | None:
        """The stack that made it, as its tag says; None: it was not made by mngdb. Raises
        SecretError."""
        answer = self._client("describe_secret", self.name, SecretId=self.name)
        tags = {one["Key"]: one["Value"] for one in answer.get("Tags", ())}
        return tags.get(TAG)

    def let_in(self) -> list[str]:
        """Whoever of other accounts may read it. Raises SecretError."""
        try:
            answer = self._client("get_resource_policy", self.name, SecretId=self.name)
        except AbsentError:
            return []
        policy = answer.get("ResourcePolicy")
        return list(dict.fromkeys(let_in(policy, answer["ARN"]))) if policy else []

    def make(self, content: Mapping[str, str]) -> None:
        """Make it, with this content. Raises SecretError, also where there is one."""
        self._create(self._text(dict(content)), str(uuid.uuid4()))

    def replace(self, content: Mapping[str, str]) -> None:
        """Put a whole new content in place of the current one, whatever that is; a secret that was
        to be deleted stays. Raises SecretError."""
        text = self._text(dict(content))
        given = {"SecretId": self.name, "SecretString": text, "VersionStages": ["AWSCURRENT"]}
        given["ClientRequestToken"] = str(uuid.uuid4())
        try:
            self._client("put_secret_value", self.name, **given)
        except DeletedError:
            self._client("restore_secret", self.name, SecretId=self.name)
            self._client("put_secret_value", self.name, **given)

    def remove(self, days: int) -> None:
        """Have AWS delete it after so many days; none there is no error. Raises SecretError."""
        try:
            self._client("delete_secret", self.name, SecretId=self.name, RecoveryWindowInDays=days)
        except (AbsentError, DeletedError):
            return
