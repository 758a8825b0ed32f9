"""AWS Secrets Manager on loopback: moto, corrected where it is milder than AWS, and with faults.

`python -m tests.secrets_server PORT` serves it; `SecretsServer` starts that and asks for faults.
"""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3

from mngdb.spec.vault import AwsSecrets
from mngdb.vaults.aws.vault import AwsVault, open_aws
from tests.buckets import Server
from tests.conftest import free_port

_LIMIT = 65_536
#: moto's.
ACCOUNT = "123456789012"
_TAGS = ("Code", "Message")
_CODES = {
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "AccessDenied": "AccessDeniedException",
}
_REGION = re.compile(r"Credential=[^/]+/[0-9]+/([a-z0-9-]+)/secretsmanager/")


class SecretsServer(Server):
    """The server, on a port. Its secrets are those of the account 123456789012."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        super().__init__([sys.executable, "-m", __name__, str(port)], port, folder)
        self.env = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """A login to it, as AWS's tools take it."""
        return {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester"}

    def client(self, service: str = "secretsmanager", **login: str) -> Any:
        """AWS's own client."""
        given = {"aws_access_key_id": "tester", "aws_secret_access_key": "tester"} | login
        region = given.pop("region", "us-east-1")
        return boto3.client(service, region_name=region, endpoint_url=self.url, **given)

    def fail(self, code: str, times: int = 1, text: str = "as the test asked") -> None:
        """Let the next requests be refused."""
        self._tell("faults", {"code": code, "times": times, "text": text})

    def demand_rights(self, demanded: bool = True) -> None:
        """Check logins and rights from now on, or no more."""
        self._tell("rights", {"demanded": demanded})

    def forget(self) -> None:
        """Remove all secrets, and the list of calls."""
        self._tell("reset", {})

    def calls(self) -> list[str]:
        """Operations since it was last asked."""
        found: list[str] = self._tell("calls", {})
        return found

    def _tell(self, what: str, given: Mapping[str, object]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/test/{what}", json.dumps(given).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def in_aws(
    server: SecretsServer,
    *,
    stack: str = "chat",
    state: Path | None = None,
    warn: Callable[[str], None] = lambda _: None,
    **keys: Any,
) -> AwsVault:
    """The vault of a stack there, as the file has it."""
    given = {"name": "chat-app/database", "region": "us-east-1", "endpoint": server.url} | keys
    settings = AwsSecrets.model_validate(given)
    return open_aws(settings, stack, state, server.variables, warn)


class Corrected:
    """A WSGI application before moto's."""

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner
        self._guard = threading.Lock()
        self._faults: dict[str, Any] = {"times": 0}
        self._calls: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size)
        if environ["PATH_INFO"].startswith("/test/"):
            answer = self._told(environ["PATH_INFO"].rpartition("/")[2], json.loads(body))
            return _answer(start, 200, answer)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith("secretsmanager."):
            refusal = self._refusal(target.partition(".")[2], json.loads(body), environ)
            if refusal is not None:
                code, text = refusal
                return _answer(start, 400, {"__type": code, "message": text})
        environ["wsgi.input"] = io.BytesIO(body)
        said: list[Any] = []
        answer = b"".join(self._inner(environ, lambda *words: said.append(words)))
        if target and said[0][0].startswith("403") and answer.startswith(b"<?xml"):
            return _answer(start, 400, _as_json(answer.decode()))
        start(*said[0])
        return [answer]

    def _told(self, what: str, given: dict[str, Any]) -> object:
        from moto import settings
        from moto.secretsmanager.models import secretsmanager_backends

        with self._guard:
            if what == "faults":
                self._faults = given
            elif what == "reset":
                self._calls.clear()
                self._faults = {"times": 0}
                secretsmanager_backends.reset()
            elif what == "rights":
                settings.INITIAL_NO_AUTH_ACTION_COUNT = 0 if given["demanded"] else float("inf")
            elif what == "calls":
                calls, self._calls = self._calls, []
                return calls
        return {}

    def _refusal(
        self, operation: str, given: dict[str, Any], environ: dict[str, Any]
    ) -> tuple[str, str] | None:
        with self._guard:
            self._calls.append(operation)
            if self._faults["times"] > 0:
                self._faults["times"] -= 1
                return self._faults["code"], self._faults["text"]
        if len(given.get("SecretString", "").encode()) > _LIMIT:
            return "ValidationException", "secretString: length less than or equal to 65536"
        secret = _secret(given.get("SecretId", given.get("Name", "")), environ)
        changes = {"PutSecretValue", "CreateSecret", "UpdateSecretVersionStage"}
        if operation in changes and secret is not None and secret.is_deleted():
            return "InvalidRequestException", "the secret was marked for deletion"
        return None


def _secret(name: str, environ: Mapping[str, Any]) -> Any:
    from moto.secretsmanager.models import secretsmanager_backends

    found = _REGION.search(environ.get("HTTP_AUTHORIZATION", ""))
    if not name or found is None:
        return None
    return secretsmanager_backends[ACCOUNT][found[1]].secrets.get(name)


def _as_json(refusal: str) -> dict[str, str]:
    """What moto refuses as the older services of AWS do."""
    code, text = (re.search(f"<{tag}>(.*?)</{tag}>", refusal, re.DOTALL) for tag in _TAGS)
    assert code is not None
    assert text is not None
    return {"__type": _CODES.get(code[1], code[1]), "message": text[1]}


def _answer(start: Callable[..., Any], status: int, document: object) -> Iterable[bytes]:
    start(f"{status} told", [("Content-Type", "application/x-amz-json-1.1")])
    return [json.dumps(document).encode()]


def _correct_rights() -> None:
    """moto does not know which secret a request is about, nor the sign `?` of a policy."""
    from fnmatch import fnmatchcase

    from moto.iam.access_control import IAMPolicyStatement
    from moto.secretsmanager.responses import SecretsManagerResponse

    def resource(self: Any) -> str:
        name = self._get_param("SecretId") or self._get_param("Name")
        if not name:
            return "*"
        found = self.backend.secrets.get(name)
        made_up = f"arn:aws:secretsmanager:{self.region}:{ACCOUNT}:secret:{name}-aBcDeF"
        return made_up if found is None else str(found.arn)

    def matches(_: object, pattern: str, value: str) -> bool:
        return fnmatchcase(value, pattern)

    IAMPolicyStatement._match = matches  # type: ignore[assignment,method-assign]
    SecretsManagerResponse._determine_resource = resource  # type: ignore[attr-defined]


def main(port: int) -> None:
    """Serve."""
    _correct_rights()
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    app = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", port, Corrected(app), threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
