"""Waiting for a connection, however many files are open."""

from __future__ import annotations

import fcntl
import resource
import socket

from mngdb.dial import ready


def test_a_connection_is_waited_for_beside_thousands_of_open_files() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    here, there = socket.socketpair()
    with here, there:
        high = socket.socket(fileno=fcntl.fcntl(here, fcntl.F_DUPFD, 2000))
        with high:
            assert not ready(high, 0)
            assert ready(high, 0, write=True)
            there.send(b"x")
            assert ready(high, 10)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
