"""`mngdb secrets scan` on real projects, and `mngdb render ci`, whose output the scan takes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mngdb.checks import scan as rules
from mngdb.checks import scan_ci
from mngdb.literals import Kind, finders, suspects
from mngdb.ops.scan import scan
from tests.checks.judge import opened
from tests.conftest import Cli

FILE = "redis: {port: PORT1}\nmongodb: {port: PORT2}\napps: {shop: {redis: 's:*', mongodb: shop}}\n"
#: Made up here, so that no file of this project holds one.
VALUE = "Hq3-" + "vR9tLw2xZs7K" * 2
CLEAN = {
    "compose.yaml": "services:\n  api:\n    environment:\n      REDIS_URL: ${REDIS_URL}\n"
    "      MONGO_URI: mongodb://shop:${MONGO_PASSWORD}@db/shop\n"
    "    secrets: [redis_password]\n",
    ".env.example": "REDIS_URL=redis://shop:REPLACE-ME@127.0.0.1:6379/0\nREDIS_PASSWORD=\n",
    "README.md": "Set `REDIS_URL=redis://user:<password>@host:6379`, or mongodb://user:pass@host/db\n",
    ".github/workflows/deploy.yml": "on: push\nenv:\n  MONGO_URI: ${{ secrets.MONGO_URI }}\n"
    "jobs:\n  a:\n    env: {REDIS_PASSWORD: '${{ secrets.REDIS_PASSWORD }}', MODE: production}\n"
    "    steps: [{uses: x, with: {token: '${{ github.token }}'}}]\n",
    ".gitlab-ci.yml": "variables:\n  MONGO_URI: $MONGO_URI\n  REDIS_PASSWORD: ${REDIS_PASSWORD}\n"
    "build:\n  variables: {NODE_ENV: production}\n  script: [make]\n",
    "deploy.sh": 'REDISCLI_AUTH="$(cat /run/secrets/redis)" redis-cli -h cache ping\n'
    "mongosh --port 27017 db.js\necho done\n"
    'DB_PASSWORD=$1 API_TOKEN="${TOKEN:-}" PASSWORD=changeme LOGIN_TOKEN=%s ./run\n',
    "app.js": "const url = process.env.MONGO_URI\nconsole.log('connected')\n"
    "console.log(`to ${process.env.DB_HOST}`)\nprint(os.environ.get('MODE'))\n",
    ".github/workflows/shared.yml": "on:\n  workflow_call:\n    inputs: {token: {type: string}}\n"
    "    secrets: {DB_PASSWORD: {required: true}}\njobs:\n  a:\n    services:\n      db:\n"
    "        env: {POSTGRES_PASSWORD: postgres}\n    env:\n"
    "      DB_PASSWORD: ${{ secrets['DB_PASSWORD'] }}\n"
    "      DB_TOKEN: ${{ inputs.token || secrets.DB_TOKEN }}\n      GH_TOKEN: ${{ env.GH }}\n"
    "      DATABASE_URL: postgres://postgres:postgres@localhost/test\n"
    "  b:\n    uses: ./x.yml\n    secrets: inherit\n",
    "ci/more.gitlab-ci.yml": ".all: &all\n  DATABASE_URL: postgres://$DB_USER:$DB_PASSWORD@db/x\n"
    "test:\n  variables: {<<: *all}\n  script: [!reference [.x, script]]\n",
    "chart/values.yaml": "auth:\n  existingSecret: shop-db\n  secretName: tls\n",
    "logo.png": "\x89PNG\0redis://a:" + VALUE + "@h",
}
DIRTY = [
    ("scan.connection-string", "app.py", f"URL = 'redis://shop:{VALUE}@cache:6379'\n", 1),
    ("scan.connection-string", "a/b.ts", f"\n\nconst u = `mongodb+srv://u:{VALUE}@c.d.net/x`\n", 3),
    ("scan.argument", "deploy.sh", "set -e\nredis-cli -h cache -a $PASS PING\n", 2),
    ("scan.argument", "Makefile", "x:\n\tmongosh -u root --password=$(PW) db.js\n", 2),
    ("scan.written", "deploy.sh", 'echo "PASSWORD=x" >> script\n', 1),
    ("scan.written", "ci.sh", 'printf "API_KEY=%s" "$K" > .env\n', 1),
    ("scan.assigned", "deploy.sh", f"set -e\nexport PGPASSWORD={VALUE}\n", 2),
    ("scan.assigned", "compose.yaml", f"a:\n  environment:\n    - 'API_TOKEN={VALUE}'\n", 3),
    ("scan.assigned", "Dockerfile", f'FROM a\nENV MODE=x DB_PASSWORD="{VALUE}"\n', 2),
    ("scan.assigned", ".github/workflows/d.yml",
     f"jobs:\n  a:\n    steps:\n      - run: docker run -e DB_PASSWORD={VALUE} x\n", 4),
    ("scan.printed", "app.js", "console.log(process.env.MONGO_URI)\n", 1),
    ("scan.printed", "app.py", "import os\nprint('env', os.environ['DB_PASSWORD'])\n", 2),
    ("scan.detected", "key.txt", "-----BEGIN RSA " + f"PRIVATE KEY-----\n{VALUE}\n", 1),
    ("scan.assigned", "conf.ini", f"password = '{VALUE}'\n", 1),
    ("scan.detected", "aws.tf", "key = 'AKIA" + "Q3EGVB7RWX2MTN5J'\n", 1),
    ("scan.detected", "ibm.py", "\nibm_iam_key = '" + "q7Zt_4mWx9-" * 4 + "'\n", 2),
    ("scan.ci-plain", ".github/workflows/d.yml", f"on: push\nenv:\n  REDIS_PASSWORD: {VALUE}\n", 3),
    ("scan.ci-plain", ".github/workflows/d.yml",
     "jobs:\n  a:\n    steps:\n      - env:\n          API_KEY: plain1234\n", 5),
    ("scan.ci-plain", ".github/workflows/d.yml",
     "jobs:\n  a:\n    steps:\n      - with: {token: '${{ vars.TOKEN }}'}\n", 4),
    ("scan.ci-plain", ".gitlab-ci.yml", f"variables:\n  REDIS_PASSWORD: {VALUE}\n", 2),
    ("scan.ci-plain", ".gitlab-ci.yml",
     f"job:\n  variables:\n    DB_SECRET:\n      value: {VALUE}\n      description: no\n", 4),
    ("scan.ci-plain", ".gitlab-ci.yml",
     f".all: &all\n  API_TOKEN: {VALUE}\njob:\n  variables:\n    <<: [*all]\n", 2),
    ("scan.ci-plain", ".github/workflows/d.yml",
     f"jobs:\n  a:\n    uses: ./x.yml\n    secrets:\n      DB_PASSWORD: {VALUE}\n", 5),
    ("scan.printed", "app.ts", "console.log(process.env)\n", 1),
    ("scan.argument", "odd\udcff\x1b[31m.sh", "redis-cli -a $PASS PING\n", 1),
    ("scan.ci-file", ".gitlab-ci.yml", "variables: [\n", 2),
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Cli:
    cli = Cli(tmp_path)
    cli.write(FILE)
    context = opened(cli)
    context.claim()
    context.make_secrets(context.missing_secrets())
    for name, text in CLEAN.items():
        put(cli, name, text)
    return cli


def put(cli: Cli, name: str, text: str) -> Path:
    path = cli.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="latin-1" if name.endswith("png") else "utf-8")
    return path


def bad(cli: Cli, *paths: Path) -> set[tuple[str, str]]:
    found = scan(opened(cli), paths).findings
    assert {one.id for one in found} == set(rules.RULES)
    return {(one.id, one.instance) for one in found if one.verdict in {"fail", "unknown"}}


def git(cli: Cli, *words: str) -> None:
    subprocess.run(["git", *words], cwd=cli.folder, check=True, capture_output=True)


def test_nothing_is_found_in_a_project_as_it_should_be(project: Cli) -> None:
    assert bad(project) == set()
    assert project.json("secrets", "scan")["summary"]["pass"] == len(rules.RULES)


@pytest.mark.parametrize(("rule", "name", "text", "line"), DIRTY)
def test_what_is_found(project: Cli, rule: str, name: str, text: str, line: int) -> None:
    path = put(project, name, text)
    assert (rule, f"{name}:{line}") in bad(project)
    marked = text.splitlines()
    if rule != "scan.ci-file":
        marked[line - 1] += "  # pragma: allowlist secret"
        path.write_text("\n".join(marked) + "\n")
        assert bad(project) == set()


def test_every_rule_is_made_to_fail() -> None:
    assert {rule for rule, *_ in DIRTY} | {"scan.stack-secret", "scan.readable"} == set(rules.RULES)


def test_a_secret_of_the_stack_wherever_it_stands(project: Cli) -> None:
    value = (project.state / "secrets/redis_shop").read_text()
    put(project, "docs/notes.txt", f"first\nthe thing is {value} so\n")
    assert bad(project) == {("scan.stack-secret", "docs/notes.txt:2")}
    for form in ([], ["--json"], ["--all"]):
        done = project.run("secrets", "scan", *form)
        assert done.returncode == 1
        assert "docs/notes.txt:2" in done.stdout
        assert value not in done.stdout + done.stderr


def test_what_gitlabs_file_includes_is_one_of_gitlab(project: Cli) -> None:
    put(project, "ci/deploy.yml", f"deploy:\n  variables:\n    API_TOKEN: {VALUE}\n")
    put(project, "ci/build.yaml", f"build: {{variables: {{API_TOKEN: {VALUE}}}}}\n")
    assert {rule for rule, _ in bad(project)} == {"scan.assigned"}
    for include, name in (
        ("/ci/deploy.yml", "deploy.yml:3"),
        ("[{local: ci/*.yaml}]", "build.yaml:1"),
    ):
        put(project, ".gitlab-ci.yml", f"include: {include}\n")
        assert ("scan.ci-plain", f"ci/{name}") in bad(project)


def test_what_git_ignores_is_left_out(project: Cli) -> None:
    put(project, ".env", f"REDIS_URL=redis://shop:{VALUE}@cache\n")
    assert ("scan.connection-string", ".env:1") in bad(project)
    git(project, "init", "-q")
    put(project, ".gitignore", ".env\n")
    assert bad(project) == set()
    assert bad(project, project.folder / ".env") == {("scan.connection-string", ".env:1")}
    git(project, "add", "-f", ".env")
    assert bad(project) == {("scan.connection-string", ".env:1")}
    put(project, "odd\udcff\x1b[31m.sh", "redis-cli -a $PASS PING\n")
    assert "odd\\xdcff\\x1b[31m.sh:1 " in project.run("secrets", "scan").stdout


def test_the_command(project: Cli) -> None:
    assert project.run("secrets", "scan", "nowhere").returncode == 2
    unread = project.run("secrets", "scan", "/proc/self/mem", "app.js")
    assert (unread.returncode, "cannot be read" in unread.stdout) == (3, True)
    assert project.run("secrets", "scan", "app.js", "deploy.sh").returncode == 0
    put(project, ".gitlab-ci.yml", "a: [\n")
    assert project.run("secrets", "scan").returncode == 3
    put(project, "deploy.sh", "redis-cli -a x\n")
    done = project.run("secrets", "scan")
    assert done.returncode == 1
    assert "deploy.sh:1" in done.stdout


@pytest.mark.parametrize(
    ("kind", "name", "top"),
    [("github", ".github/workflows/made.yml", "env"), ("gitlab", ".gitlab-ci.yml", "variables")],
)
def test_what_render_ci_writes_is_yaml_that_the_scan_takes(
    project: Cli, kind: str, name: str, top: str
) -> None:
    text = project.ok("render", "ci", kind)
    put(project, name, text)
    assert bad(project) == set()
    found: dict[str, Any] = yaml.safe_load(text)[top]
    assert set(found) == set(project.env_of("shop"))
    for secret in ("REDIS_URL", "REDIS_PASSWORD", "MONGO_URI", "MONGO_PASSWORD"):
        wanted = f"${{{{ secrets.{secret} }}}}" if kind == "github" else f"${secret}"
        assert found[secret] == wanted
    assert "secrets." not in str(found["REDIS_PORT"])
    assert "REDIS_USER, MONGO_USER" in text  # no secrets, and a rotation changes them
    for value in (project.state / "secrets").glob("*_*"):
        assert value.read_text() not in text


def test_render_ci_asks_whose_variables(project: Cli) -> None:
    project.write(FILE.replace("apps: {", "apps: {mail: {redis: 'm:*'}, "))
    done = project.run("render", "ci", "github")
    assert (done.returncode, "one of: mail, shop" in done.stderr) == (2, True)
    assert "REDIS_URL" in project.ok("render", "ci", "github", "--app", "mail")


@given(st.text(max_size=300))
def test_no_text_breaks_a_detector(text: str) -> None:
    for kind in Kind:
        for code in (True, False):
            every = range(1, text.count("\n") + 2)
            list(rules.lines(text, every, kind, "userlist.txt", code=code))
    list(scan_ci.github(text))
    list(scan_ci.gitlab(text))
    suspects(text.encode(errors="replace"))


def test_yaml_that_leads_in_circles() -> None:
    assert list(scan_ci.gitlab("a: &a {b: *a, variables: &v {PASSWORD: x1y2z3}}\n")) != []
    assert list(scan_ci.github("- &x [*x]\n" + "[" * 2000)) != []


def test_each_word_is_found_whatever_stands_before_it() -> None:
    words = ["aws", "akia", "key.", "_key", "ghp_"]
    for word in words:
        text = f"a gh {word} {word[:-1]}".encode()
        found = [letter for letter, one in finders(words).items() if one.search(text)]
        assert [letter in word for letter in found] == [True], word
    assert not any(one.search(b"awkey_ghr_ak.") for one in finders(words).values())


def test_lines_are_told_once_and_by_their_number() -> None:
    assert suspects(b"a\npassword token\n\n_key secret\r\nb\nuser shop") == [2, 4, 6]
