"""Certificates of servers in containers. The CA is the stack's own, as for servers of this machine;
its key stays beside the stack's secrets, and no container sees it.

A server finds the CA's certificate, and its own with its key in one file, among its files in
`conf/UNIT`. Apps find the CA as `ca.crt` in the rendered folder.
"""

from __future__ import annotations

from pathlib import Path

from mngdb import disk
from mngdb.container import CONF
from mngdb.model import TlsFiles
from mngdb.spec.stack import Instance, Stack
from mngdb.targets.compose.folder import Folder

#: The CA's file, in a server's folder as in the rendered one.
CA = "ca.crt"
_BUNDLE = "tls.pem"
#: As a container sees them: a server's own, and the CA's also where apps are told to mount it.
SEEN = TlsFiles(f"{CONF}/{CA}", f"{CONF}/{_BUNDLE}")


def wanted(stack: Stack) -> bool:
    """Whether any server in a container encrypts."""
    return any(one.tls and one.contained for one in stack.instances.values())


def ca(stack: Stack) -> Path:
    """Where mngdb itself reads the CA's certificate."""
    return disk.regular(stack.state / "tls" / CA)


def authority(stack: Stack) -> str:
    """The CA's certificate as PEM text; empty where `ensure` has still to make it."""
    return disk.read_own(ca(stack)) or ""


def ensure(stack: Stack) -> Path:
    """Make the CA when it is missing. Returns its folder."""
    from mngdb.targets.process import tls

    folder = disk.folder(stack.state / "tls")
    tls.ensure_ca(folder, stack.name)
    return folder


def bundle(folder: Folder, instance: Instance) -> Path:
    """The file with a server's certificate and key."""
    return folder.conf(instance.unit) / _BUNDLE


def _names(instance: Instance) -> list[str]:
    """What a server is called: its unit, which is the container, and where it is published."""
    where = instance.published
    return [instance.unit, *([where.rpartition(":")[0].strip("[]")] if where else [])]


def due(stack: Stack, folder: Folder, instance: Instance) -> bool:
    """Whether a server needs a certificate: it has none, or not this CA's, or it is soon over."""
    if not instance.tls:
        return False
    from mngdb.targets.process import tls

    return tls.needs_certificate(bundle(folder, instance), ca(stack), _names(instance))


def write(stack: Stack, folder: Folder, instance: Instance, uid: int) -> None:
    """Give a server a certificate where it needs one; `uid` is the account that reads it."""
    if not due(stack, folder, instance):
        return
    from mngdb.targets.process import tls

    certificate, key = tls.certificate(ensure(stack), _names(instance))
    folder.mounted(folder.conf(instance.unit), {_BUNDLE: certificate + key}, uid)
