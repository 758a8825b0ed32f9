"""Asks AWS Secrets Manager, with patience, and says in words what it refuses."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mngdb import __version__, log
from mngdb.errors import SecretError
from mngdb.spec.vault import AwsSecrets

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

#: Seconds: how long a service that throttles, or has trouble of its own, is asked again; the
#: longest pause between two questions; how long a connection and an answer may take.
_PATIENCE, _PAUSE, _CONNECT, _READ = 180.0, 20.0, 5.0, 15.0
#: How often a connection may be cut, or not come about.
_CUTS = 2
_BUSY = frozenset({
    "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded",
    "InternalServiceError", "InternalServiceErrorException", "ServiceUnavailable",
    "ServiceUnavailableException", "InternalFailure",
})  # fmt: skip
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_SIGNATURE = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch"})
_KEY = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"})
_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})


class AwayError(SecretError):
    """AWS could not be asked: with `fail_open`, the last good copy does."""


class AbsentError(SecretError):
    """There is no such secret, or none with that label."""


class DeletedError(SecretError):
    """The secret is scheduled for deletion."""


class ExistsError(SecretError):
    """There is a secret of that name, or a version of that id, with another content."""


class Client:
    """Secrets Manager in one region. May be used by several threads."""

    def __init__(
        self,
        settings: AwsSecrets,
        stack: str,
        environ: Mapping[str, str],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._stack = stack
        self._environ = environ
        self._sleep = sleep
        self._guard = threading.Lock()
        self._made: Any = None

    @property
    def region(self) -> str:
        """The region that is asked; empty as long as only the profile says it."""
        return self._settings.region or (self._made.meta.region_name if self._made else "")

    def __call__(self, operation: str, secret: str, **given: object) -> dict[str, Any]:
        """The answer to one operation on a secret (its name, for what is said). Raises the errors
        above, and SecretError for every other refusal."""
        _load()  # without boto3, nothing below is there
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,
            HTTPClientError,
        )

        try:
            self._client()
        except (BotoCoreError, ValueError) as error:
            raise self._unasked(error) from None
        end, pause, cuts = time.monotonic() + _PATIENCE, 1.0, 0
        while True:
            try:
                return self._once(operation, secret, given)
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code not in _BUSY or time.monotonic() + pause > end:
                    raise self._refused(operation, secret, error) from None
            except BotoCoreError as error:
                # a change that was cut off is asked for again with the same version id
                cuts += isinstance(error, HTTPClientError | ConnectionError)
                if not 0 < cuts <= _CUTS:
                    raise self._unasked(error) from None
            # a little apart from all the others that are throttled
            self._sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, _PAUSE)

    def _once(self, operation: str, secret: str, given: Mapping[str, object]) -> dict[str, Any]:
        with log.timed(__name__, lambda: f"{operation} {secret}"):
            answer: dict[str, Any] = getattr(self._client(), operation)(**given)
        return answer

    def refusal(self, operation: str, told: Mapping[str, Any]) -> SecretError:
        """One of the errors of a batch, as if it had been asked for alone."""
        from botocore.exceptions import ClientError

        answer: Any = {"Error": {"Code": told["ErrorCode"], "Message": told.get("Message", "")}}
        return self._refused(operation, told["SecretId"], ClientError(answer, operation))

    def _client(self) -> Any:
        with self._guard:
            if self._made is None:
                names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
                keys = tuple(self._environ.get(f"AWS_{name}") for name in names)
                profile = self._environ.get("AWS_PROFILE") or None
                self._made = _made(
                    self._settings.region,
                    self._settings.endpoint,
                    profile,
                    keys if all(keys[:2]) else (),
                    f"stack/{self._stack}",
                )
            return self._made

    def _unasked(self, error: Exception) -> SecretError:
        from botocore import exceptions as of

        if isinstance(error, of.NoRegionError):
            return SecretError("no AWS region is set", "vault: {aws: {region: …}}, or AWS_REGION")
        if isinstance(error, of.NoCredentialsError | of.PartialCredentialsError):
            half = isinstance(error, of.PartialCredentialsError)
            return AwayError(
                "only a part of the AWS credentials is there"
                if half
                else "there are no AWS credentials",
                "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the "
                "machine a role",
            )
        if isinstance(error, of.ProfileNotFound):
            return SecretError(f"{error}", "unset AWS_PROFILE, or run 'aws configure'")
        if isinstance(error, of.ConfigParseError | of.ConfigNotFound | ValueError):
            return SecretError(
                f"the AWS settings are invalid: {error}",
                "check AWS_ENDPOINT_URL, AWS_CONFIG_FILE and ~/.aws/config",
            )
        if isinstance(error, of.ParamValidationError):
            return SecretError(f"AWS takes no such request: {error}")
        if isinstance(error, of.HTTPClientError | of.ConnectionError):
            return AwayError(
                f"AWS Secrets Manager cannot be reached{self._place()}: {_reason(error)}",
                "check the region, the network and the proxy (HTTPS_PROXY)",
            )
        return AwayError(
            f"AWS Secrets Manager cannot be asked: {error}", "check the AWS credentials"
        )

    def _place(self) -> str:
        return f" in {self.region}" if self.region else ""

    def _refused(self, operation: str, secret: str, error: ClientError) -> SecretError:
        told = error.response.get("Error", {})
        code, text = told.get("Code", ""), str(told.get("Message", "")).strip()
        place = f"{secret}{self._place()}"
        if code == "ResourceNotFoundException":
            return AbsentError(f"there is no AWS secret {place}")
        if code == "ResourceExistsException":
            return ExistsError(f"the AWS secret {place} was changed by somebody else just now")
        if code == "InvalidRequestException" and "delet" in text.lower():
            region = f" --region {self.region}" if self.region else ""
            return DeletedError(
                f"the AWS secret {place} is scheduled for deletion",
                f"aws secretsmanager restore-secret --secret-id {secret}{region}",
            )
        if code in _SKEWED or (code in _SIGNATURE and _of_clock(text)):
            return AwayError(
                f"AWS refuses the request because of this machine's clock{_behind(error)}",
                "set the clock: timedatectl set-ntp true",
            )
        if code in _KEY or code in _SIGNATURE:
            return AwayError(
                "AWS does not accept the credentials in use",
                "check AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: aws sts "
                "get-caller-identity",
            )
        if code.startswith("ExpiredToken"):
            return AwayError("the AWS session has expired", "log in again, as with aws sso login")
        request = error.response.get("ResponseMetadata", {}).get("RequestId", "")
        end = f" (request {request})" if request else ""
        if code in _DENIED:
            return AwayError(
                f"AWS does not permit {_camel(operation)} on {place}: {text}{end}",
                "'mngdb render iam' prints the policies that are needed",
            )
        if code in _BUSY:
            return AwayError(
                f"AWS Secrets Manager answered {code} for {_PATIENCE:.0f} s{end}", "try again later"
            )
        return SecretError(f"AWS refuses {_camel(operation)} on {place}: {code}: {text}{end}")


@lru_cache(8)
def _made(
    region: str | None,
    endpoint: str | None,
    profile: str | None,
    keys: tuple[str | None, ...],
    who: str,
) -> Any:
    """AWS's own client: 0.3 s, of which others with the same settings are spared."""
    boto3 = _load()
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT,
        read_timeout=_READ,
        retries={"mode": "standard", "total_max_attempts": 1},
        # CloudTrail shows it with every request
        user_agent_extra=f"mngdb/{__version__} {who}",
    )
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return boto3.Session(profile_name=profile).client(
        "secretsmanager",
        region_name=region,
        endpoint_url=endpoint,
        config=config,
        **dict(zip(names, keys, strict=False)),
    )


def _load() -> Any:
    """AWS's own library. Raises SecretError where it is not installed."""
    try:
        import boto3
    except ImportError:
        raise SecretError(
            "the vault 'aws' needs boto3, which is not installed", "pip install 'mngdb[aws]'"
        ) from None
    return boto3


def _camel(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_"))


def _reason(error: Exception) -> str:
    """The innermost cause: the outer ones repeat the whole request."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(getattr(cause, "strerror", None) or error)


def _of_clock(text: str) -> bool:
    return any(word in text.lower() for word in ("expired", "not yet current", "skew"))


def _behind(error: ClientError) -> str:
    """By how much the clock is off, as far as the answer's own date tells."""
    from email.utils import parsedate_to_datetime

    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        off = time.time() - parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return ""
    if abs(off) < 1:
        return ""
    return f", which is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
