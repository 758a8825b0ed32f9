"""A value that never prints itself."""

from __future__ import annotations

import hmac
import secrets
import string

#: Unreserved in RFC 3986, so a generated secret reads the same in a URL, a shell and a dotenv file.
_SPECIAL = "-_.~"
_ALPHABET = string.ascii_letters + string.digits + _SPECIAL
#: Requirement B12 asks for 32 or more.
GENERATED_LENGTH = 40
#: What an app's second login is called behind the app's name, which has no dot. Where a login has
#: one password at a time, a rotation alternates between the two.
SECOND = ".2"
#: What a password of the second login ends with, so that to publish it is one write: no password
#: ends so by chance.
_OF_SECOND = f".login{SECOND}"


class Secret:
    """A secret text. `str()`, `repr()` and formatting show a mask; `reveal()` gives the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: for a driver, a file of mode 0600 or a pipe, nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._value.encode(), other._value.encode()
        )

    def __hash__(self) -> int:
        return hash(self._value)


def login_of(app: str, secret: Secret) -> str:
    """The login of an app that a secret is for, where a rotation alternates between two."""
    return app + SECOND if secret.reveal().endswith(_OF_SECOND) else app


def app_of(login: str) -> str:
    """The app that a login is of: the first or the second of it."""
    return login.removesuffix(SECOND)


def after(secret: Secret) -> Secret:
    """A new secret that is for the other login of the same app."""
    new = generate()
    if login_of("", secret) == SECOND:
        return new
    return Secret(new.reveal() + _OF_SECOND)


def generate(length: int = GENERATED_LENGTH) -> Secret:
    """A random secret with lower case, upper case, digits and signs (guide, MongoDB 2)."""
    while True:
        value = "".join(secrets.choice(_ALPHABET) for _ in range(length))
        kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, _SPECIAL)
        # the first character is a letter: some tools take a leading sign for an option
        if value[0].isalpha() and all(set(value) & set(kind) for kind in kinds):
            return Secret(value)
