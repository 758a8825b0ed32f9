"""What the journal says of things that can carry no mark in Atlas."""

from __future__ import annotations

from pathlib import Path

import pytest

from mngdb.errors import OvertakenError, StepError
from mngdb.targets.atlas.journal import Journal, intent


class Killed(BaseException):
    """In place of a SIGKILL."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "atlas")


def test_what_was_there_when_an_intent_was_written_is_somebody_elses(journal: Journal) -> None:
    with pytest.raises(Killed), journal.making("peering", "vpc-1", intent(["theirs", "another"])):
        raise Killed
    assert journal.intended("peering", "vpc-1")
    assert not journal.ours("peering", "vpc-1", "theirs")
    assert not journal.ours("peering", "vpc-1", "another")
    assert journal.ours("peering", "vpc-1", "made meanwhile")


def test_once_its_id_is_noted_that_one_alone_is_ours(journal: Journal) -> None:
    with journal.making("alert", "cpu", intent(["theirs"])):
        journal.write("alert", "cpu", "a-1")
    assert not journal.intended("alert", "cpu")
    assert journal.ours("alert", "cpu", "a-1")
    assert not journal.ours("alert", "cpu", "a-2")
    assert not journal.ours("alert", "disk", "a-1")


def test_a_request_that_was_refused_leaves_no_intent(journal: Journal) -> None:
    with pytest.raises(StepError), journal.making("service", "eu", intent()):
        raise StepError("no quota", "")
    assert not journal.knows("service", "eu")
    assert not journal.ours("service", "eu", "theirs")


def test_one_that_may_have_been_done_leaves_it(journal: Journal) -> None:
    with pytest.raises(OvertakenError), journal.making("service", "eu", intent()):
        raise OvertakenError("no answer", "")
    assert journal.intended("service", "eu")
