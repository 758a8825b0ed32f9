"""The command `mngdb` whose agent looks every second for what it looks for now and then."""

from __future__ import annotations


def hasten(**intervals: float) -> None:
    """Before the agent begins: how often it looks, in seconds, by the names in its module."""
    from mngdb.agent import main

    assert intervals.keys() <= vars(main).keys()
    vars(main).update(intervals)


if __name__ == "__main__":
    hasten(INTERVAL=1.0, KEYS_EVERY=0.5, INTERVAL_OF_BACKUPS=0.5, INTERVAL_OF_ROTATIONS=0.5)
    from mngdb.cli.main import run

    run()
