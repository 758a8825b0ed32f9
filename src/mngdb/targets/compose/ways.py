"""The ways to servers in containers: a socket each, held open for as long as anybody uses it."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field

from mngdb.errors import ConnectError
from mngdb.spec.engine_info import ENGINE_INFO
from mngdb.spec.stack import Instance
from mngdb.targets.compose.docker import Docker
from mngdb.targets.compose.tunnel import Tunnel


class Ways(Struct):
    """The ways of one command."""

    docker: Docker
    token: str = field(default_factory=lambda: secrets.token_hex(6))
    _tunnels: dict[str, tuple[Tunnel, int]] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def folder(self, unit: str) -> Path:
        """The folder of a unit's socket."""
        return Path(tempfile.gettempdir()) / f"mngdb-{self.token}-{unit}"

    @contextmanager
    def reach(self, instance: Instance) -> Iterator[None]:
        """Connections to the socket become `docker exec`s into the container. A login that fails
        because no engine answers raises UnreachableError."""
        unit = instance.unit
        with self._guard:
            tunnel, users = self._tunnels.get(unit, (None, 0))
            if tunnel is None:
                name = ENGINE_INFO[instance.engine].socket_file(instance.spec.port)
                path = self.folder(unit) / name
                tunnel = Tunnel(self.docker, unit, instance.spec.port, path, instance.tls)
                tunnel.open()
            self._tunnels[unit] = (tunnel, users + 1)
        try:
            yield
        except ConnectError:
            self.docker.need_engine()
            raise
        finally:
            with self._guard:
                tunnel, users = self._tunnels.pop(unit)
                if users > 1:
                    self._tunnels[unit] = (tunnel, users - 1)
                else:
                    tunnel.close()
