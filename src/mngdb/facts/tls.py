"""What a TLS handshake with a server comes to."""

from __future__ import annotations

from msgspec import Struct


class Tls(Struct, frozen=True):
    """How a server takes TLS. `weak` is asked for apart."""

    version: str
    """That it chose: `TLSv1.3`."""
    days: float
    """Until its certificate expires; negative: it has."""
    old: tuple[str, ...]
    """Of TLS 1.0 and 1.1 those that it accepts."""
    weak: bool = False
    """Whether it accepts ciphers without encryption or certificate, RC4 or triple DES."""
