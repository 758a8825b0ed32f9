"""The certificate of a page: the file's own, or one of the stack's CA."""

from __future__ import annotations

from pathlib import Path

from mngdb import disk
from mngdb.errors import UsageError
from mngdb.spec.stack import Stack
from mngdb.targets.compose import certificates


def ensure(stack: Stack) -> None:
    """Make the page's certificate where it is missing, soon over or for another name."""
    if stack.insight and not _given(stack) and _due(stack):
        from mngdb.targets.process import tls

        folder = certificates.ensure(stack)
        certificate, key = tls.certificate(folder, _hosts(stack))
        disk.write(folder / "page.key", key)
        disk.write(folder / "page.crt", certificate)


def read(stack: Stack) -> tuple[str, str]:
    """The certificate and its key as PEM texts; empty where `ensure` has still to make them.
    Raises UsageError for files of others that are no use."""
    given = _given(stack)
    if given is None:
        own = stack.state / "tls"
        return _text(own / "page.crt"), _text(own / "page.key")
    paths = stack.folder / given[0], stack.folder / given[1]
    pair = _pem(paths[0], "CERTIFICATE"), _pem(paths[1], "KEY")
    page = stack.source.redisinsight
    if page is not None:
        from mngdb.targets.process import tls

        why = tls.unfit(*pair, page.host)
        if why:
            raise UsageError(f"{paths[0]} with {paths[1]}: {why}", "Traefik would reject them")
    return pair


def path(stack: Stack) -> Path | None:
    """Where the page's certificate is, or will be; None: there is no page."""
    if not stack.insight:
        return None
    given = _given(stack)
    return stack.folder / given[0] if given else stack.state / "tls/page.crt"


def issuer_ca(stack: Stack) -> str | None:
    """The CA of the realm's certificate as PEM text, if the file names one. Raises UsageError."""
    sso = stack.source.sso
    if sso is None or sso.ca is None:
        return None
    return _pem(stack.folder / disk.expanded(sso.ca), "CERTIFICATE")


def _given(stack: Stack) -> tuple[Path, Path] | None:
    page = stack.source.redisinsight
    if page is None or page.certificate is None:
        return None
    given = page.certificate
    return disk.expanded(given.certificate), disk.expanded(given.key)


def _hosts(stack: Stack) -> list[str]:
    page, sso = stack.source.redisinsight, stack.source.sso
    hosts = [page.host] if page else []
    return [*hosts, sso.host] if sso and sso.route else hosts


def _due(stack: Stack) -> bool:
    from mngdb.targets.process import tls

    folder = certificates.ensure(stack)
    missing = not (folder / "page.key").is_file()
    return missing or tls.needs_certificate(folder / "page.crt", folder / "ca.crt", _hosts(stack))


def _text(path: Path) -> str:
    return disk.read_own(path) or ""


def _pem(path: Path, kind: str) -> str:
    try:
        text = disk.read_given(path, disk.NOTE_MAX).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not a text file"
        raise UsageError(f"{path} cannot be read: {why}", "use a PEM file") from None
    if f"{kind}-----" not in text or "ENCRYPTED" in text:
        raise UsageError(
            f"{path} holds no {kind.lower()} in PEM format without a passphrase",
            "use another file",
        )
    return text
