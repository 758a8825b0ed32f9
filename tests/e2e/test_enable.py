"""`enable` and `disable` with a real systemd: a user's, in namespaces of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import systemd
from tests.conftest import ROOT
from tests.live.test_faults_users import UserCli, account, python, user

__all__ = ["account", "python", "user"]
pytestmark = [pytest.mark.live, pytest.mark.root]
UNITS = "default.target basic.target shutdown.target exit.target systemd-exit.service app.slice"
BEFORE = """
mngdb up
printf 'SET shop:a kept\\n' | redis
mngdb enable > first; mngdb enable > second
systemctl --user is-enabled mngdb-mng.service
systemctl --user is-active mngdb-mng.service
mngdb check --only host.boot --all
"""
AFTER = """
systemctl --user is-active mngdb-mng.service
mngdb status
printf 'GET shop:a\\n' | redis
systemctl --user stop mngdb-mng.service
mngdb status >/dev/null && exit 9
systemctl --user start mngdb-mng.service
mngdb disable; mngdb disable
test ! -e "$HOME/.config/systemd/user/mngdb-mng.service"
mngdb status
mngdb destroy --yes mng
"""


class Machine:
    """Where a user's systemd runs that knows no units but a few targets, and that user's own."""

    def __init__(self, cli: UserCli, name: str, folder: Path) -> None:
        self.cli, self.name, self.folder = cli, name, folder
        systemd.install()
        for unit in UNITS.split():
            shutil.copy(Path("/usr/lib/systemd/user") / unit, folder)
        # what a copied interpreter needs is what a file with variables is for
        env = {k: v for k, v in cli.environ().items() if k in {"PYTHONPATH", "LD_LIBRARY_PATH"}}
        (cli.folder / ".config/mngdb").mkdir(parents=True)
        lines = "".join(f"{name}={value}\n" for name, value in env.items())
        (cli.folder / ".config/mngdb/mng.env").write_text(lines)
        self.head = "".join(f"export {line}\n" for line in lines.splitlines())
        client = (
            "import redis, sys; server = redis.Redis.from_url(sys.argv[1]); "
            "print(server.execute_command(*sys.stdin.read().split()))"
        )
        self.head += (
            f'cd "$HOME"\nmngdb() {{ {cli.python} -m mngdb "$@"; }}\n'
            f"redis() {{ {cli.python} -c '{client}' \"$(mngdb url redis shop)\"; }}\n"
        )

    def boot(self, script: str) -> subprocess.CompletedProcess[str]:
        """Start it, run a script in it, and take the power away."""
        path = self.folder / "script"
        path.write_text(self.head + script)
        for one in (self.folder, *self.folder.iterdir()):
            one.chmod(0o755)
        subprocess.run(["chown", "-R", self.name, str(self.cli.folder)], check=True)
        return subprocess.run(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh"),
                *(str(ROOT / "tests/systemd_user.sh"), self.name, str(self.cli.folder)),
                *(str(self.folder), str(path)),
            ],
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def machine(user: UserCli) -> Iterator[Machine]:
    import pwd

    folder = user.folder.parent / "units"
    folder.mkdir()
    name = pwd.getpwuid(user.uid).pw_name
    yield Machine(user, name, folder)
    for tree in Path("/sys/fs/cgroup").glob(f"**/{name}"):
        for path in [*sorted(tree.glob("**/"), reverse=True)]:
            path.rmdir()


def test_enabled_it_comes_back_and_disable_takes_back_just_that(machine: Machine) -> None:
    machine.cli.write('redis: {port: PORT1}\napps: {shop: {redis: "shop:*"}}\nagent: false\n')
    first = machine.boot(BEFORE)
    assert first.returncode == 0, first.stdout + first.stderr
    unit = machine.cli.folder / ".config/systemd/user/mngdb-mng.service"
    assert (machine.cli.folder / "first").read_text() == (
        f"{unit} written\nmngdb-mng.service enabled\nmngdb-mng.service started\n"
    )
    assert (machine.cli.folder / "second").read_text() == "mngdb-mng.service is already enabled\n"
    assert "pass" in first.stdout
    second = machine.boot(AFTER)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "b'kept'" in second.stdout
    assert "mngdb-mng.service disabled and removed" in second.stdout
    assert "mngdb-mng.service is not enabled" in second.stdout
