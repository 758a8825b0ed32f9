"""The command `mngdb`, and `python -m mngdb`: what comes before anything is imported."""

from __future__ import annotations

import os
import sys


def run() -> None:
    """Entry point. Never returns."""
    try:
        if sys.getfilesystemencoding() == "ascii":
            # names of files may have any letter; Python itself does this unless it is told not to
            again = [sys.executable, "-X", "utf8", "-P", "-m", "mngdb", *sys.argv[1:]]
            os.execv(sys.executable, again)  # noqa: S606
        from mngdb.cli.main import run as begin

        begin()
    except KeyboardInterrupt:  # while modules are imported: most of a short command's time
        os.write(2, b"error: interrupted\n")
        os._exit(130)


if __name__ == "__main__":
    run()
