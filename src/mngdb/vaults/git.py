"""What git knows of secrets: what it ignores, what it has, and what it ever had."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from mngdb.errors import MngdbError, UnobservableError
from mngdb.run import last_line, reading, run
from mngdb.vaults.leaks import Needles

_TIMEOUT = 30.0
#: A repository's own configuration names programs, and it is whoever wrote it that says which. What
#: we ask needs none of them, so git is told to run none, and to reach nobody (git-config(1)).
_SAFE = (
    *("--no-pager", "--no-optional-locks", "--no-replace-objects"),
    *(
        word
        for setting in (
            "core.fsmonitor=false",
            "core.hooksPath=/dev/null",
            "core.sshCommand=false",
            "core.askPass=false",
            "diff.external=",
            "gpg.program=false",
            "gpg.ssh.program=false",
            "gpg.x509.program=false",
            "log.showSignature=false",
            "protocol.allow=never",
            "safe.bareRepository=explicit",
            "submodule.recurse=false",
        )
        for word in ("-c", setting)
    ),
)
#: An object larger than this is no text that a person wrote.
_MOST = 8 << 20
#: `log` without a program for differences or signatures.
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-show-signature")
#: Names that hold secrets wherever they stand; examples do not.
SECRET_FILES = (
    *(":(glob)**/.env", ":(glob)**/.env.*", ":(glob)**/*.env", ":(glob)**/.mngdb/**"),
    *(":(glob)**/id_rsa", ":(glob)**/id_ed25519", ":(glob)**/.pgpass", ":(glob)**/tls.key"),
    *(f":(glob,exclude)**/*.env*.{end}" for end in ("example", "sample", "template", "dist")),
    *(f":(glob,exclude)**/.env.{end}" for end in ("example", "sample", "template", "dist")),
)
#: Names of keys, and of certificates: those that hold a key are told. Tests have keys of nobody.
KEY_FILES = (
    *(f":(glob)**/*.{end}" for end in ("key", "pem", "p8", "pk8", "ppk")),
    *(f":(glob,exclude)**/{name}/**" for name in ("test*", "spec", "fixtures")),
)
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|^PuTTY-User-Key", re.MULTILINE)


class Repository(Struct, frozen=True):
    """A repository, and the folder in it that is looked at."""

    top: Path
    folder: Path

    def _git(self, *words: str, stdin: str | None = None, good: tuple[int, ...] = (0,)) -> str:
        done = run(
            _argv(self.folder, *words),
            timeout=_TIMEOUT,
            env=_environ(),
            stdin=stdin,
            check=False,
            errors="surrogateescape",  # as names of files have it
        )
        if done.returncode not in good:
            raise UnobservableError(f"git: {last_line(done.stderr)}")
        return done.stdout

    def not_ignored(self, paths: Sequence[Path]) -> list[Path]:
        """Those of the paths inside the repository that git would take in."""
        inside = [path for path in paths if path.resolve().is_relative_to(self.top)]
        if not inside:
            return []
        told = "\0".join(str(path.resolve()) for path in inside) + "\0"
        found = self._git("check-ignore", "--stdin", "-z", stdin=told, good=(0, 1)).split("\0")
        return [path for path in inside if str(path.resolve()) not in found]

    def files(self) -> list[Path]:
        """Everything below the folder that git has, or would take in."""
        words = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        return [self.folder / name for name in _names(self._git(*words))]

    def tracked(self, paths: Sequence[Path]) -> list[str]:
        """Files at or under the paths that the repository has now."""
        inside = [str(path.resolve()) for path in paths if path.resolve().is_relative_to(self.top)]
        if not inside:
            return []
        return _names(self._git("--literal-pathspecs", "ls-files", "-z", "--", *inside))

    def committed(self, folders: Sequence[Path] = ()) -> list[str]:
        """Files of all names that hold secrets, or in `folders` of secrets, that any commit of any
        branch added. Raises UnobservableError when nothing is found in a part of the history."""
        inside = [path.resolve() for path in folders if path.resolve().is_relative_to(self.top)]
        named = (f":(top,literal){path.relative_to(self.top)}" for path in inside)
        return self._whole([*self._added(*SECRET_FILES, *named), *self._keys()])

    def committed_as(self, path: Path) -> list[str]:
        """The name of a file, if one of that name in its folder was ever committed. Raises
        UnobservableError as above."""
        inside = path.resolve()
        if not inside.is_relative_to(self.top):
            return []
        return self._whole(self._added(f":(top,literal){inside.relative_to(self.top)}"))

    def _added(self, *names: str) -> list[str]:
        told = self._git(
            *("-c", "core.quotePath=false", "log", *_PLAIN, "--all", "--no-renames", "--format="),
            *("--name-only", "--diff-filter=A", "-z", "-m", "--", *names),
        )
        return _names(told)

    def _keys(self) -> Iterator[str]:
        """Private keys that any commit added, but those of tests."""
        told = self._git(
            *("-c", "core.quotePath=false", "log", *_PLAIN, "--all", "--no-renames", "--format="),
            *("--raw", "--no-abbrev", "--diff-filter=A", "-z", "-m", "--", *KEY_FILES),
        )
        fields = iter(told.split("\0"))
        for about, name in zip(fields, fields, strict=False):
            number = about.split()[3]
            content = self._git("cat-file", "blob", number)
            if _KEY.search(content):
                yield name

    def holding(self, needles: Needles) -> list[str]:
        """`NAME in FILE (COMMIT)` for every object of the repository that holds a secret, whether a
        branch still leads to it or not. Raises UnobservableError when it takes too long, or when
        nothing is found in a part of the history."""
        end = time.monotonic() + _TIMEOUT
        found: list[str] = []
        for kind, number, content in self._objects():
            names = needles.find(content)
            if names:
                place = self._place(kind, number)
                found += (f"{name} in {place}" for name in names)
            if time.monotonic() > end:
                break
        if time.monotonic() > end:
            raise UnobservableError(
                f"the history of {self.top} could not be searched in {_TIMEOUT:g} s"
            )
        promised = ("config", "--get-regexp", r"^remote\..*\.promisor$")
        if not found and self._git(*promised, good=(0, 1)):
            raise UnobservableError("the clone is partial (--filter): use a full one")
        return self._whole(found)

    def _whole(self, found: Sequence[str]) -> list[str]:
        """What was found; that nothing was says something of a whole history only."""
        if not found and self._git("rev-parse", "--is-shallow-repository").strip() == "true":
            raise UnobservableError("the clone is shallow: 'git fetch --unshallow' first")
        return sorted(set(found))

    def _objects(self) -> Iterator[tuple[str, str, bytes]]:
        """Every object's kind, number and content: files, and the messages of commits."""
        every = ("cat-file", "--batch-all-objects", "--batch", "--unordered", "--buffer")
        argv = _argv(self.folder, *every)
        with reading(argv, cwd=self.top, env=_environ(), timeout=_TIMEOUT) as stream:
            while line := stream.readline():
                number, _, rest = line.decode().partition(" ")
                kind, _, size = rest.partition(" ")
                if not line.endswith(b"\n"):
                    return  # it was ended: `holding` looks at the time
                left = int(size)
                content = stream.read(min(left, _MOST))
                left -= len(content)
                while left > 0:
                    left -= len(stream.read(min(left, 1 << 20)) or b"x" * left)
                stream.read(1)
                if kind != "tree":
                    yield kind, number, content

    def _place(self, kind: str, number: str) -> str:
        if kind != "blob":
            return f"the message of {kind} {number[:10]}"
        told = self._git(
            *("-c", "core.quotePath=false", "log", *_PLAIN, "--all", "--format=%h", "--name-only"),
            *("-1", "--no-renames", f"--find-object={number}"),
        ).split("\n")
        lines = [line for line in told if line]
        return f"{lines[1]} ({lines[0]})" if len(lines) > 1 else f"object {number[:10]}"


def _names(told: str) -> list[str]:
    return [name for name in told.split("\0") if name.strip("\n")]


def _argv(folder: Path, *words: str) -> list[str]:
    """The one way in which git is called."""
    return ["git", *_SAFE, "-C", str(folder), *words]


def _environ() -> dict[str, str]:
    """Ours without what would lead git elsewhere, in a language that can be read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    # a part of a partial clone that is missing is missing: it is not fetched by a remote's program
    alone = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}
    return kept | {"LC_ALL": "C.UTF-8"} | quiet | alone


def repository(folder: Path) -> Repository | None:
    """The repository that a folder lies in; None: in none. Raises UnobservableError."""
    folder = folder.resolve()
    marked = any((parent / ".git").exists() for parent in [folder, *folder.parents])
    if not marked:
        return None
    if shutil.which("git") is None:
        raise UnobservableError(f"{folder} is in a repository, and git is not installed")
    try:
        argv = _argv(folder, "rev-parse", "--show-toplevel")
        told = run(argv, timeout=_TIMEOUT, env=_environ())
    except MngdbError as error:
        raise UnobservableError(error.message) from None
    return Repository(Path(told.stdout.rstrip("\n")), folder)
