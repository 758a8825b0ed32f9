"""What `secrets scan` takes for a secret, on lines as they stand in public projects."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mngdb.ops.scan import scan
from tests.checks.judge import opened
from tests.conftest import Cli

#: Made up here, so that no file of this project holds one.
REAL = "q7" + "Zt-4mWx9Lb" * 2
WEAK = "difyai" + "123456"

#: File, line, whether it is one that everybody tries. Each is a secret that lets in.
SECRETS = [
    (".env", f"DB_PASSWORD={WEAK}", True),
    (".env", "POSTGRES_PASSWORD=postgres", True),
    (".env", "REDIS_PASSWORD=Winter2024-password!", True),
    (".env", f"api_key={REAL}", False),
    (".env", f"export SMTP_PASS='{REAL}'", False),
    (".env.production", f"APP_KEY=base64:{REAL}=", False),
    ("settings.properties", f"spring.datasource.password={REAL}", False),
    ("application.yml", "    password: petclinic", False),
    ("app.conf", f"dbPassword = {REAL}", False),
    ("appsettings.json", f'  "ClientSecret": "{REAL}",', False),
    ("config.toml", f'secret_key = "{REAL}"', False),
    ("compose.yaml", "      POSTGRES_PASSWORD: whalehello", False),
    ("compose.yaml", "      - MYSQL_ROOT_PASSWORD=somewordpress", False),
    ("compose.yaml", "      - MINIO_SECRET_KEY=minioadmin", False),
    ("compose.yaml", "    environment: {POSTGRES_PASSWORD: nextcloud, TZ: UTC}", False),
    ("compose.yaml", f"      DB_PASSWORD: ${{DB_PASSWORD:-{WEAK}}}", True),
    ("compose.yaml", f"    command: redis-server --requirepass {WEAK} --appendonly yes", True),
    ("compose.yaml", f'    command: ["redis-server", "--requirepass", "{REAL}"]', False),
    ("compose.yaml", "      DATABASE_URL: postgresql://umami:umami@db:5432/umami", False),
    ("compose.yaml", "      - DSN=amqp://guest:guest@rabbitmq:5672/messages", False),
    ("docker/Dockerfile", f"ENV ADMIN_PASSWORD={REAL}", False),
    ("redis.conf", f"requirepass {REAL}", False),
    ("redis.conf", "requirepass foobared", True),
    ("redis.conf", f"masterauth {REAL}", False),
    ("sentinel.conf", f"sentinel auth-pass mymaster {REAL}", False),
    ("users.acl", f"user shop on >{REAL} ~shop:* +@all", False),
    ("redis.conf", f"user default on sanitize-payload ~* &* +@all >{REAL}", False),
    (".pgpass", f"db.internal:5432:*:shop:{REAL}", False),
    ("pgbouncer/userlist.txt", f'"shop" "{REAL}"', False),
    ("pgbouncer/userlist.txt", '"shop" "md5' + "0a1b2c3d" * 4 + '"', False),
    ("init.sql", f"CREATE USER shop WITH PASSWORD '{REAL}';", False),
    ("init.sql", f"alter role shop password '{WEAK}';", True),
    ("init.sql", f"CREATE USER 'a'@'%' IDENTIFIED BY '{REAL}';", False),
    ("init-mongo.js", f"db.createUser({{user: 'a', pwd: '{REAL}', roles: []}})", False),
    ("deploy.sh", f"export PGPASSWORD={REAL}", False),
    ("deploy.sh", f'PASSWORD="{REAL}" ./run', False),
    ("app/settings.py", f'SECRET_KEY = "{REAL}"', False),
    ("src/db.ts", f"const dbPassword: string = '{REAL}'", False),
    ("src/Db.java", f'    String password = "{REAL}";', False),
    ("src/db.php", f"    'db_password' => '{REAL}',", False),
    ("src/db.go", 'dsn := "postgres://app:acme_' + 'secret_7731@db/app"', False),
    (".github/workflows/a.yml", f"env: {{DB_PASSWORD: {REAL}}}", False),
    ("config.toml", f'access_token = "{REAL}"', False),
    ("terraform.tfvars", f'db_password = "{REAL}"', False),
    (".env.example", f"STRIPE_SECRET={REAL}", False),
]
#: File and line: none is a secret.
HARMLESS = [
    (".env", "DB_PASSWORD=changeme"),
    (".env", "DB_PASSWORD=<your password>"),
    (".env", "OPENAI_API_KEY=sk-" + "x" * 8),
    (".env", "API_KEY_RATE_LIMIT=100"),
    (".env", "JWT_SECRET=replace-me-with-a-long-random-string"),
    (".env", "SMTP_PASSWORD=your_smtp_password_here"),
    (".env", "PASSWORD_FILE=/run/secrets/password"),
    (".env", "TOKEN_TTL=3600"),
    (".env", "RESEND_API_KEY=your-resend-api-key"),
    (".env.example", f"DB_PASSWORD={WEAK}"),
    (".env.example", "DB_PASSWORD=coolify"),
    ("compose.yaml", '      ALLOW_EMPTY_PASSWORD: "yes"'),
    ("compose.yaml", "      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?set it}"),
    ("compose.yaml", "      POSTGRES_PASSWORD_FILE: /run/secrets/pg"),
    ("compose.yaml", "      POSTGRES_HOST_AUTH_METHOD: password"),
    ("compose.yaml", "      - API_TOKEN=$SERVICE_TOKEN"),
    ("compose.yaml", "    secrets: [redis_password]"),
    ("redis.conf", "# requirepass foobared"),
    ("users.acl", "user shop on #" + "0a1b2c3d" * 8 + " ~shop:*"),
    (".pgpass", "# host:port:database:user:password"),
    ("init.sql", "CREATE USER shop WITH PASSWORD :'password';"),
    ("app.py", 'password = os.environ["DB_PASSWORD"]'),
    ("app.py", 'parser.add_argument("--password", help="the password")'),
    ("app.php", "        'smtp_password' => 'sometimes|nullable|string|max:255',"),
    ("app.ts", 'label: { password: "Password", token: "Access token" }'),
    ("app.rb", "User.new(url: url, password: password).relay(STDIN.read)"),
    ("tests/test_login.py", 'PASSWORD = "t3st-Pa55word-x"'),
    ("t/unit/test_redis.py", "'redis://:bosco@vandelay.com:123//1'"),
    ("locales/de.yml", "  password: Passwort"),
    ("README.md", "DATABASE_URL=mysql://root:whalehello@db:3306/mysql"),
    ("docs/run.md", "docker run -e POSTGRES_PASSWORD=mysecretpassword postgres"),
    ("schema.json", '"password": "string"'),
    ("values.yaml", "  existingSecret: shop-db"),
    ("deploy.sh", 'echo "Pass: $name is there"'),
    ("deploy.sh", 'echo "deploy ALL=(ALL) NOPASSWD:ALL" > sudoers'),
    (".github/workflows/a.yml",
     'jobs: {a: {steps: [{run: echo "has_secrets=true" >> $GITHUB_OUTPUT}]}}'),
    (".github/workflows/a.yml",
     'jobs: {a: {steps: [{run: "echo ::error title=Missing secret::no"}]}}'),
    (".github/workflows/a.yml",
     "env: {DATABASE_URL: 'postgres://postgres:postgres@localhost/test'}"),
    (".github/workflows/a.yml",
     "jobs: {a: {services: {db: {env: {POSTGRES_PASSWORD: postgres}}}}}"),
    (".github/workflows/a.yml", "env: {GH_TOKEN: '${{ github.token }}'}"),
    ("chart/values.yaml", "  existingSecret: shop-db-7Q"),
    ("paginators-1.json", '      "output_token": "NextToken",'),
    ("query.json", f'  "continuationToken": "{REAL}",'),
    ("service/2015-08-24/examples-1.json", '  "MasterUserPassword": "mypassword",'),
    ("package-lock.json", '    "js-tokens": "^3.0.0 || ^4.0.0",'),
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Cli:
    cli = Cli(tmp_path)
    cli.write("redis: {}\n")
    return cli


def said(cli: Cli, cases: list[tuple[str, str]]) -> list[list[str]]:
    """What is told of each, in a folder of its own."""
    for number, (name, text) in enumerate(cases):
        path = cli.folder / f"no{number}" / name
        path.parent.mkdir(parents=True)
        path.write_text(text + "\n")
    told: list[list[str]] = [[] for _ in cases]
    for one in scan(opened(cli), [cli.folder]).findings:
        if one.verdict in {"fail", "unknown"}:
            told[int(one.instance.split("/")[0].removeprefix("no"))].append(one.evidence)
    return told


def test_secrets_are_found_and_what_everybody_tries_is_told_as_such(project: Cli) -> None:
    told = said(project, [(name, line) for name, line, _ in SECRETS])
    assert [one for one, found in zip(SECRETS, told, strict=True) if not found] == []
    for (_, line, weak), found in zip(SECRETS, told, strict=True):
        if any("plain value" in one for one in found):
            assert any("everybody tries" in one for one in found) == weak, line


def test_what_stands_for_a_secret_is_none(project: Cli) -> None:
    told = said(project, HARMLESS)
    assert [one for one, found in zip(HARMLESS, told, strict=True) if found] == []


def test_a_long_list_in_two_lines(project: Cli) -> None:
    text = f"    command:\n      - --requirepass\n      - {REAL}"
    assert said(project, [("compose.yaml", text)]) == [["requirepass is a plain value"]]


def test_what_a_folder_above_is_called_says_nothing(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "tests" / "docs")
    cli.folder.mkdir(parents=True, exist_ok=True)
    cli.write("redis: {}\n")
    subprocess.run(["git", "init", "-q"], cwd=cli.folder, check=True)
    assert said(cli, [(".env", f"DB_PASSWORD={WEAK}")]) != [[]]
