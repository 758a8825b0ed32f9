"""What the commands that people run all day do not load: each module costs each of them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mngdb

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


def imported(module: Path) -> Iterator[str]:
    """The names of what a module imports, anywhere in it, without what is inside of that."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def installed(name: str, extras: tuple[str, ...], found: set[str]) -> None:
    """Add what `pip install NAME[EXTRAS]` brings, as far as it is here."""
    try:
        needs = metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        return
    for one in map(Requirement, needs):
        marker = one.marker
        due = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if due and canonicalize_name(one.name) not in found:
            found.add(canonicalize_name(one.name))
            installed(one.name, tuple(one.extras), found)


def test_no_module_imports_what_developers_alone_install() -> None:
    found = {"mngdb"}
    installed("mngdb", ("local", "aws", "client", "console"), found)
    whose = metadata.packages_distributions()
    modules = Path(mngdb.__file__).parent.rglob("*.py")
    names = {name for module in modules for name in imported(module)} - sys.stdlib_module_names
    assert names > {"msgspec", "pymongo"}
    lacking = {
        name
        for name in names - {"mngdb"}
        if not found & {*map(canonicalize_name, whose.get(name, ()))}
    }
    assert lacking == set()
