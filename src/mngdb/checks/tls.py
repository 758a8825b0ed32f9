"""What every engine's encryption is judged by."""

from __future__ import annotations

from mngdb.facts.tls import Tls
from mngdb.findings import Judgement, judged, listed, not_applicable

#: Days that a certificate has left at least.
_DAYS = 14
_OFF = "TLS is off"


def version(found: Tls | None) -> Judgement:
    """Old versions are refused."""
    return (
        not_applicable(_OFF)
        if found is None
        else listed(found.old, f"{found.version}, no older one")
    )


def certificate(found: Tls | None) -> Judgement:
    """The certificate lasts."""
    if found is None:
        return not_applicable(_OFF)
    return judged(found.days >= _DAYS, f"it expires in {found.days:.0f} days")


def ciphers(found: Tls | None) -> Judgement:
    """Weak ciphers are refused."""
    if found is None:
        return not_applicable(_OFF)
    accepted = "a cipher without encryption, certificate or strength is accepted"
    return judged(not found.weak, accepted if found.weak else "weak ciphers are refused")


def required(plain: bool, reason: str = "") -> Judgement:
    """Plain text is refused; `plain`: whether it is accepted, `reason`: why the file wants that."""
    accepted = "unencrypted connections are accepted" + (f" (the file: {reason})" if reason else "")
    return judged(not plain, accepted if plain else "TLS is required")
