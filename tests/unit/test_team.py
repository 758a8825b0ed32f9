"""What members of a team may run, as a table. With servers and sudo: tests/live/test_team.py."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import get_args

import click
import pytest

from mngdb.cli import team
from mngdb.cli.common import Options
from mngdb.cli.main import cli
from mngdb.errors import UsageError
from mngdb.ops.team import _exposed_below, exposed, require_closed, role
from mngdb.spec.team import Role, Team
from tests.unit.spec import refused

#: What says where something is read from or written to, or shows a secret, whatever its type.
_NEVER = {
    *("files", "target", "output", "baseline", "report", "source", "store", "kit"),
    *("new_key", "unsigned", "remote", "rdb", "fix", "fresh", "boot"),
}


def command(words: str) -> click.Command:
    """A command of one word or two."""
    found: click.Command = cli
    for word in words.split():
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(found), word)
        assert below is not None, words
        found = below
    return found


@pytest.mark.parametrize("who", get_args(Role))
def test_no_command_of_a_role_takes_a_file(who: Role) -> None:
    for words, allowed in team.COMMANDS[who].items():
        known = {one.name: one for one in command(words).params}
        for name in allowed.split():
            assert name not in _NEVER, (words, name)
            assert not isinstance(known[name].type, click.Path | click.File), (words, name)


def test_secrets_and_what_ends_a_stack_are_the_owners() -> None:
    for name in ("env", "url", "shell", "secret", "secrets", "render", "destroy", "agent", "init"):
        assert not [one for one in team.COMMANDS["operator"] if one.partition(" ")[0] == name]


@pytest.mark.parametrize(
    "line",
    [
        "-f /tmp/x status",
        "--target local status",
        "status -f /tmp/x",
        "status --file=/tmp/x",
        "status -v",
        "status --verbose",
        "check --output=/tmp/x",
        "check --baseline /tmp/x",
        "check --fix",
        "backup take --new-key",
        "backup prune",
        "backup kit",
        "restore redis --from /tmp/x",
        "drill --report /tmp/x",
        "drill --store /tmp/x",
        "keys --rdb /tmp/x",
        "up --new",
        "up --new-ports",
        "logs redis -v",
        "locks -f /tmp/x kill 1",
        "locks kill 1 -v",
        "env shop",
        "url postgres",
        "shell postgres",
        "secret set postgres_admin",
        "secrets push --to files:/tmp/x",
        "render compose --output /tmp/x",
        "stacks attach mng",
        "destroy --yes mng",
    ],
)
def test_an_operator_may_not(line: str) -> None:
    with pytest.raises(UsageError):
        team._require_permitted(line.split(), "operator", "deploy")


def test_a_role_is_what_the_groups_say_now() -> None:
    daemon = pwd.getpwnam("daemon")
    own = grp.getgrgid(daemon.pw_gid).gr_name
    groups: dict[Role, str] = {"operator": "no-such-group", "viewer": own}
    assert role(groups, daemon.pw_uid) == "viewer"
    assert role({"operator": str(daemon.pw_gid), "viewer": own}, daemon.pw_uid) == "operator"
    assert role({"operator": "no-such-group"}, daemon.pw_uid) is None
    assert role(groups, 0) is None
    assert role(groups, 54_321) is None


def test_who_does_not_come_through_sudo_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dict(os.environ)
    for claimed in ("", "-1", "０", "x"):
        monkeypatch.setenv("SUDO_UID", claimed)
        try:
            with pytest.raises(UsageError, match="through sudo"):
                team.admit(["mng", "status"], Options())
            assert "PYTHONPATH" not in os.environ
        finally:
            os.environ.clear()
            os.environ |= kept


def test_what_others_can_change_is_named(tmp_path: Path) -> None:
    file = tmp_path / "project/mngdb.yaml"
    file.parent.mkdir()
    file.write_text("")
    assert exposed(file) == ""
    for path, mode in ((file, 0o646), (file.parent, 0o777)):
        usual = path.stat().st_mode
        path.chmod(mode)
        assert exposed(file) == f"{path} is writable by everybody"
        path.chmod(usual)
    link = tmp_path / "link"
    link.symlink_to(file.parent)
    file.parent.chmod(0o777)
    assert "writable" in exposed(link / "mngdb.yaml")


def test_what_others_can_change_in_a_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "site-packages/click/core.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    (tmp_path / "site-packages/link").symlink_to(module)
    assert _exposed_below(tmp_path / "site-packages") == ""
    monkeypatch.setattr("sys.path", [str(module.parent.parent)])
    for path in (module, module.parent, module.parent.parent):
        usual = path.stat().st_mode
        path.chmod(usual | 0o002)
        with pytest.raises(UsageError, match=f"{path} is writable by everybody"):
            require_closed([])
        path.chmod(usual)


def test_groups_are_names_or_numbers() -> None:
    assert Team.model_validate({"viewers": 1234}).groups == {"viewer": "1234"}
    both = Team.model_validate({"viewers": "devs", "operators": "ops"})
    assert list(both.groups) == ["operator", "viewer"]


@pytest.mark.parametrize(
    "text",
    ["{}", "{viewers: 'a b'}", "{viewers: '%wheel'}", "{operators: root}", "{viewers: true}"],
)
def test_a_group_that_is_none_is_refused(text: str) -> None:
    assert "mngdb.yaml:1:" in refused(f"team: {text}\nredis: {{}}\n")
