"""Which lines scripts/seams counts: the figures of CI are worth what this is."""

import ast
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

_SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "seams"


@pytest.fixture(scope="module")
def seams() -> ModuleType:
    loader = SourceFileLoader("seams", str(_SCRIPT))
    spec = importlib.util.spec_from_loader("seams", loader)
    assert spec
    found = sys.modules["seams"] = importlib.util.module_from_spec(spec)
    loader.exec_module(found)
    return found


def _counts(seam: str, seams: ModuleType, line: str, file: str = "ops/x.py") -> bool:
    names = {"engine": seams.names_engine, "target": seams.names_target}[seam]
    return any(names(node, file) for node in ast.walk(ast.parse(line)))


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ('one.engine == "redis"', True),
        ('only = "postgres.slots"', True),
        ('{"MongodbDown": 1}', True),
        ("isinstance(spec, RedisInstance)", True),
        ("from mngdb.engines.mongodb import users", True),
        ('import_module(f"mngdb.engines.{name}")', True),
        ("look(postgres=1)", True),
        ("Page(redisinsight=source.redisinsight)", False),
        ('help("Open psql, or redis-cli for Redis.")', False),
        ("info = ENGINE_INFO[instance.engine]", False),
    ],
)  # fmt: skip
def test_lines_that_name_an_engine(seams: ModuleType, line: str, counts: bool) -> None:
    assert _counts("engine", seams, line) is counts


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("instance.target.local", True),
        ("self._context.compose.folder", True),
        ('target == "external"', True),
        ("from mngdb.targets.local import boot", True),
        ("LocalHost.of(stack)", True),
        ("from mngdb.targets.process import boot", False),
        ("engine.external(asked, url)", False),
        ("yaml.compose(text)", False),
        ("instance.target", False),
    ],
)
def test_lines_that_name_a_target(seams: ModuleType, line: str, counts: bool) -> None:
    assert _counts("target", seams, line) is counts


def test_an_engine_has_words_of_its_own(seams: ModuleType) -> None:
    assert not _counts("target", seams, 'on = "local"', "engines/mongodb/observe.py")


def test_a_number_that_fell_is_lowered_and_none_is_raised(seams: ModuleType) -> None:
    text = '[targets]\nlimit = 9\n\n[targets."gone.py"]\nlines = 9\nwhy = "it was"\n'
    lowered = seams.lower(text)
    assert "gone.py" not in lowered
    assert "limit = 0" in lowered
