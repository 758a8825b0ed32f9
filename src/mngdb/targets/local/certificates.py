"""The certificates of servers that speak TLS, and the CA that signs them."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from mngdb import disk
from mngdb.spec.stack import Instance, Stack
from mngdb.targets.local.layout import Layout, UnitFolder


class Certificates(Struct, frozen=True):
    """Those of one stack. `others`: whether servers run as accounts of their own, which cannot read
    the state directory."""

    stack: Stack
    layout: Layout
    others: bool

    @property
    def ca(self) -> Path:
        """The CA's certificate where servers and clients read it."""
        folder = self.layout.servers if self.others else self.stack.state / "tls"
        return disk.regular(folder / "ca.crt")

    def due(self, instance: Instance) -> bool:
        """Whether a server needs one that it does not have, or that ends soon."""
        if not instance.tls:
            return False
        from mngdb.targets.process import tls

        folder = self.layout.unit(instance.unit)
        return tls.needs_certificate(folder.certificate, self.ca, list(instance.spec.bind))

    def write(self, folder: UnitFolder, instance: Instance) -> None:
        """Make what is due, the CA before all. Raises OSError."""
        from mngdb.targets.process import tls

        private = disk.folder(self.stack.state / "tls")
        public = disk.read_own(tls.ensure_ca(private, self.stack.name)) or ""
        if self.others and self.layout.read(self.layout.servers / "ca.crt") != public:
            disk.write(self.layout.servers / "ca.crt", public, mode=0o644)
        if self.due(instance):
            certificate, key = tls.certificate(private, list(instance.spec.bind))
            account = self.layout.account(instance.unit, instance.engine)
            disk.write(folder.certificate, certificate + key, owner=account)
