"""`python -m mngdb`."""

from mngdb.cli.main import run

run()
