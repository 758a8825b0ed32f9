"""The text that Prometheus scrapes."""

from __future__ import annotations

import subprocess

from mngdb.samples import Family, Sample
from mngdb.samples import exposition as pieces
from tests import trixie
from tests.live.scrapes import read


def exposition(families: list[Family]) -> str:
    return "".join(pieces(families))


def family(name: str, *samples: Sample, text: str = "help") -> Family:
    return Family(name, "gauge", text, samples)


def test_a_family_is_its_head_and_a_line_for_each_sample() -> None:
    found = exposition(
        [family("m", Sample("m", (("a", "1"), ("b", "x")), 2.0), Sample("m", (), 0.5))]
    )
    assert found == '# HELP m help\n# TYPE m gauge\nm{a="1",b="x"} 2.0\nm 0.5\n'


def test_a_family_without_samples_is_absent() -> None:
    assert exposition([family("m")]) == ""


def test_extremes_are_written_as_prometheus_writes_them() -> None:
    values = [float("inf"), float("-inf"), float("nan"), 1e300, -0.0, 2**63]
    found = exposition(
        [family("m", *(Sample("m", (("n", str(i)),), v) for i, v in enumerate(values)))]
    )
    words = [line.split(" ")[1] for line in found.splitlines()[2:]]
    assert words == ["+Inf", "-Inf", "NaN", "1e+300", "-0.0", "9223372036854775808"]


def test_what_has_a_meaning_in_the_format_is_escaped() -> None:
    awkward = 'back\\slash "quote"\nline'
    text = exposition([family("m", Sample("m", (("l", awkward),), 1.0), text="two\nlines \\")])
    assert text.splitlines()[0] == r"# HELP m two\nlines \\"
    assert text.splitlines()[2] == r'm{l="back\\slash \"quote\"\nline"} 1.0'
    promtool = str(trixie.program("promtool"))
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(read(text).values) == 1
