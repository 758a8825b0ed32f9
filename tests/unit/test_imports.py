"""What the commands that people run all day do not load: each module costs each of them."""

import subprocess
import sys

import pytest

#: Each takes longer to import than most commands take.
_DRIVERS = ("psycopg", "hiredis", "pymongo")
_CHECKS = ("mngdb.facts.doctor", "mngdb.findings", "mngdb.checks.patch_level")


@pytest.mark.parametrize("module", ["mngdb.ops.up", "mngdb.ops.status"])
def test_up_and_status_load_neither_facts_of_doctor_nor_checks(module: str) -> None:
    code = f"import sys, {module}; print([one for one in {_CHECKS!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_rendering_postgres_loads_no_facts() -> None:
    code = (
        "import sys, mngdb.engines.postgres; print('mngdb.engines.postgres.facts' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_help_loads_no_library_for_tables() -> None:
    code = (
        "import sys; from mngdb.cli.main import cli; cli(['--help'], standalone_mode=False); "
        "print([one for one in ('rich', 'wcwidth', 'psycopg', 'yaml') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")


def test_what_an_engine_has_is_known_without_its_driver() -> None:
    code = (
        "import sys\n"
        "from mngdb.ops import registry\n"
        "optional = ('statements', 'memory', 'slow', 'bloat', 'indexes', 'locks', 'end_session', "
        "'keys')\n"
        "have = [(verb, sum(getattr(one, verb) is not None for one in registry.every())) "
        "for verb in optional]\n"
        f"print(dict(have)['locks'], [one for one in {_DRIVERS!r} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"
