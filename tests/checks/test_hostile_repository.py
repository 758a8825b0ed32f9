"""Commands that ask git about a repository run no program that the repository names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Cli

FILE = "redis: {port: PORT1}\napps: {shop: {redis: 'shop:*'}}\n"
COMMANDS = {
    "scan": ("secrets", "scan"),
    "scan of the bare repository": ("secrets", "scan", "inner.git"),
    "env check": ("env", "check", ".env"),
    "check": ("check",),
}


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def settings(program: str) -> dict[str, str]:
    """Every setting with which git would run a program in what we ask, or near it."""
    return {
        "core.fsmonitor": program,
        "core.hooksPath": f"{Path(program).parent}/hooks",
        "core.pager": program,
        "core.editor": program,
        "core.sshCommand": program,
        "core.askPass": program,
        "core.alternateRefsCommand": program,
        "credential.helper": f"!{program}",
        "diff.external": program,
        "diff.evil.command": program,
        "diff.evil.textconv": program,
        "filter.evil.clean": program,
        "filter.evil.smudge": program,
        "filter.evil.process": program,
        "filter.evil.required": "true",
        "gpg.program": program,
        "gpg.ssh.program": program,
        "log.showSignature": "true",
        "alias.ls-files": f"!{program}",
        "alias.check-ignore": f"!{program}",
        "pager.log": program,
        "interactive.diffFilter": program,
        "remote.origin.url": f"ext::{program}",
        "remote.origin.promisor": "true",
        "remote.origin.partialclonefilter": "blob:none",
        "remote.origin.uploadpack": program,
        "extensions.partialClone": "origin",
        "protocol.ext.allow": "always",
    }


@pytest.fixture
def hostile(cli: Cli) -> tuple[Cli, Path]:
    """A stack's file in a repository whose configuration names a program at every place; the
    program leaves a line in the returned file."""
    cli.write(FILE)
    trace = cli.folder.with_name(f"{cli.folder.name}-ran")
    tools = cli.folder / "tools"
    (tools / "hooks").mkdir(parents=True)
    program = tools / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {trace}\nexit 1\n')
    program.chmod(0o755)
    for name in ("post-index-change", "pre-commit", "post-checkout", "fsmonitor-watchman"):
        (tools / "hooks" / name).symlink_to(program)
    (cli.folder / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    (cli.folder / ".env").write_text("A=1\n")
    (cli.folder / "a.txt").write_text("text\n")
    (cli.folder / ".gitignore").write_text(".mngdb/\n")
    git(cli.folder, "init", "-q")
    git(cli.folder, "add", "mngdb.yaml", "a.txt", ".gitattributes")
    git(cli.folder, "commit", "-qm", "first")
    signed(cli.folder)
    bare = cli.folder / "inner.git"
    git(cli.folder, "init", "-q", "--bare", str(bare))
    for name, value in settings(str(program)).items():
        for where in (cli.folder / ".git/config", bare / "config"):
            git(cli.folder, "config", "--file", str(where), name, value)
    git(cli.folder, "config", "--file", str(bare / "config"), "core.bare", "false")
    git(cli.folder, "config", "--file", str(bare / "config"), "core.worktree", str(bare))
    (bare / "a.txt").write_text("text\n")
    return cli, trace


def signed(folder: Path) -> None:
    """A commit with something in a signature's place, and one whose file is not there."""
    tree = git(folder, "write-tree").strip()
    text = (
        f"tree {tree}\nauthor t <t@t.example> 1 +0000\ncommitter t <t@t.example> 1 +0000\n"
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\nsigned\n"
    )
    done = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"],
        cwd=folder,
        input=text,
        check=True,
        capture_output=True,
        text=True,
    )
    git(folder, "update-ref", "refs/heads/signed", done.stdout.strip())
    (folder / "gone.txt").write_text("gone\n")
    number = git(folder, "hash-object", "-w", "gone.txt").strip()
    git(folder, "add", "gone.txt")
    git(folder, "commit", "-qm", "second")
    (folder / ".git/objects" / number[:2] / number[2:]).unlink()


@pytest.mark.parametrize("command", COMMANDS)
def test_no_program_of_the_repository_runs(hostile: tuple[Cli, Path], command: str) -> None:
    cli, trace = hostile
    done = cli.run(*COMMANDS[command], timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    assert not trace.exists(), trace.read_text()
    # the trap is set: git itself, asked without care, runs it
    subprocess.run(["git", "status"], cwd=cli.folder, capture_output=True, check=False)
    assert trace.exists()


def test_variables_do_not_lead_git_elsewhere(hostile: tuple[Cli, Path]) -> None:
    cli, trace = hostile
    program = str(cli.folder / "tools/program")
    cli.env |= {
        "GIT_DIR": str(cli.folder / "inner.git"),
        "GIT_EXTERNAL_DIFF": program,
        "GIT_SSH_COMMAND": program,
        "GIT_PAGER": program,
        "GIT_ASKPASS": program,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": program,
        "GIT_TRACE": os.devnull,
    }
    done = cli.run("secrets", "scan")
    assert "a.txt" not in done.stderr
    assert not trace.exists(), trace.read_text()
