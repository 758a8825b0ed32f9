"""Who logs in where: accesses, connection strings, variables, the shell.

Form of connection strings: https://www.mongodb.com/docs/manual/reference/connection-string/
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote

from msgspec.structs import replace

from mngdb.dial import stays_here
from mngdb.errors import SecretError, UsageError
from mngdb.model import Access, DesiredInstance, ShellCommand
from mngdb.secret import Secret, login_of
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import MONGODB

ADMIN = "admin"
_SCRAM = "SCRAM-SHA-256"
#: Options of a URL, in lower case, that switch off what TLS is for.
_TRUSTING = {"tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames"}
#: The database that holds every login, as on Atlas.
USERS_IN = "admin"
#: Key in `Access.options` of a server named by a DNS SRV record; it chooses the URL's scheme.
SRV = "srv"

_URL = re.compile(
    r"(mongodb(?:\+srv)?)://(?:([^@/]*)@)?([^/?@]+)(?:/([^?]*))?(?:\?(.*))?", re.DOTALL
)
#: Options of an administrator's URL that say how *he* logs in or pools; apps do not inherit them.
_NOT_INHERITED = {"authsource", "authmechanism", "authmechanismproperties", "directconnection"}


def secret_of(asked: DesiredInstance, name: str) -> Secret:
    """The secret `name`. Raises SecretError when the vault gave none."""
    secret = asked.secrets.get(name)
    if secret is None or not secret.reveal():
        raise SecretError(f"{asked.instance.name}: the secret of {name} is missing")
    return secret


def key_text(asked: DesiredInstance) -> str:
    """The key file's content: the secret `keyfile` in hexadecimal.

    mongod takes only characters of base64 there, which a secret of any text need not be. One line
    without an end of line: it is also the password of `__system`.
    """
    return secret_of(asked, "keyfile").reveal().encode().hex()


def home(asked: DesiredInstance) -> tuple[str, int]:
    """Host and port that clients and the replica set name a managed server by."""
    return asked.host, asked.instance.spec.port


def admin(asked: DesiredInstance) -> Access:
    """The administrator of a server that is ours.

    Directly, without asking the replica set who is primary: it has one node, and a server that
    has no primary must be reachable for repair.
    """
    return asked.access(ADMIN, USERS_IN, authSource=USERS_IN, directConnection="true")


def system(asked: DesiredInstance) -> Access:
    """The member's own account, which the key file opens even where no user exists yet."""
    at = admin(asked)
    return Access(
        engine="mongodb",
        host=at.host,
        port=at.port,
        user="__system",
        password=Secret(key_text(asked)),
        database=USERS_IN,
        socket=at.socket,
        tls=at.tls,
        ca=at.ca,
        options={
            "authSource": "local",
            "authMechanism": _SCRAM,
            "directConnection": "true",
        },
        proof=at.proof,
        instance=at.instance,
    )


def external(asked: DesiredInstance, url: str) -> Access:
    """The administrator of a server given by its URL; one without a user is for looking at a server
    that asks nobody for a login. Raises UsageError and SecretError."""
    where = f"{asked.instance.name}: the external url"
    match = _URL.fullmatch(url)
    if match is None:
        raise UsageError(
            f"{where} is not mongodb://USER@HOST[:PORT]/… or mongodb+srv://USER@HOST/…"
        )
    scheme, login, hosts, path, query = match.groups(default="")
    user, colon, _ = login.partition(":")
    if colon:
        raise UsageError(f"{where} contains a password", "keep it in the vault")
    options = dict(parse_qsl(query, keep_blank_values=True))
    srv = scheme == "mongodb+srv"
    tls = options.pop("tls", options.pop("ssl", "true" if srv else "false")).lower() == "true"
    ca = options.pop("tlsCAFile", None)
    if user:
        options.setdefault("authSource", unquote(path) or USERS_IN)
    mechanism = {k.lower(): v for k, v in options.items()}.get("authmechanism", "")
    if mechanism.upper() == "PLAIN" and not tls:
        raise UsageError(
            f"{where} sets authMechanism=PLAIN without TLS: the password is sent in clear text",
            "add tls=true, or use SCRAM-SHA-256",
        )
    host, port = hosts, MONGODB.port
    if srv:
        options[SRV] = "true"
    elif "," not in hosts:
        host, port = _host_and_port(hosts, where)
    return Access(
        engine="mongodb",
        host=host,
        port=port,
        user=unquote(user),
        password=secret_of(asked, ADMIN) if user else None,
        database=USERS_IN,
        tls=tls,
        ca=ca,
        options=options,
        instance=asked.instance.name,
    )


def _host_and_port(text: str, where: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text)
    if match is None or not 0 < int(match[2] or MONGODB.port) < 65536:
        raise UsageError(f"{where} has no usable host and port: {text!r}")
    return match[1].strip("[]"), int(match[2] or MONGODB.port)


def login(asked: DesiredInstance, at: Access, app: str) -> Access:
    """The access of an app, or of the monitor, to the server that `at` leads to."""
    if app == MONITOR:
        # the server itself, not whoever is primary; the login is where ours are
        kept = {
            k: v for k, v in at.options.items() if asked.managed or k.lower() != "authmechanism"
        }
        options = kept | {"authSource": USERS_IN}
        return replace(at, user=app, password=asked.secrets.get(app), options=options)
    options = {"authSource": USERS_IN}
    if asked.site is not None and asked.site.port:
        # the set knows its member by another address, where a driver would look for it
        options["directConnection"] = "true"
    elif asked.managed:
        options["replicaSet"] = asked.stack
    options |= {k: v for k, v in at.options.items() if k.lower() not in _NOT_INHERITED}
    options = {"retryWrites": "true", "w": "majority"} | options
    return Access(
        engine="mongodb",
        host=at.host,
        port=at.port,
        user=login_of(app, secret_of(asked, app)),
        password=asked.secrets.get(app),
        database=getattr(asked.instance.grants[app], "database", ""),
        socket=at.socket,
        tls=at.tls,
        ca=at.ca,
        options=options,
        proof=at.proof,
        instance=at.instance,
    )


def proving(access: Access) -> Access:
    """The same with the one mechanism that logins of ours have, and in which the server proves that
    it knows the password, whatever it offers. On servers of others some have SCRAM-SHA-1 alone, as
    the driver finds out: that proves as much."""
    if access.proof is None or access.password is None:
        return access
    return replace(access, options={"authMechanism": _SCRAM, **access.options})


def unverified(access: Access) -> str:
    """See Engine.unverified."""
    if access.proof or stays_here(access):
        return ""
    off = [
        f"{name}=true"
        for name, value in access.options.items()
        if name.lower() in _TRUSTING and value.lower() == "true"
    ]
    if access.tls and not off:
        return ""
    how = f"{off[0]} accepts any certificate" if access.tls else "the url does not enable TLS"
    return (
        f"{how}: anyone on the network path can read and change every document (not the "
        "password, which SCRAM protects)"
    )


def seeds(access: Access) -> str:
    """Host and port as a connection string names them; several hosts stand as they were given."""
    if "," in access.host or SRV in access.options:
        return access.host
    if access.host.endswith(".sock"):
        return access.host  # a socket's path, percent-encoded
    host = f"[{access.host}]" if ":" in access.host else access.host
    return f"{host}:{access.port}"


def url(access: Access) -> str:
    """The connection string; what RFC 3986 does not call unreserved is encoded, but for slashes of
    options (the CA's path)."""
    scheme = "mongodb+srv" if SRV in access.options else "mongodb"
    login = quote(access.user, safe="")
    if access.password is not None:
        login += ":" + quote(access.password.reveal(), safe="")
    at = f"{login}@" if login else ""
    options = {key: value for key, value in access.options.items() if key != SRV}
    if access.tls:
        options["tls"] = "true"
        if access.ca:
            options["tlsCAFile"] = access.ca
    elif SRV in access.options:
        options["tls"] = "false"  # the scheme's own default is true
    order = ("authSource", "replicaSet", "retryWrites", "w")
    names = [k for k in order if k in options] + [k for k in options if k not in order]
    query = "&".join(f"{quote(k, safe='')}={quote(options[k])}" for k in names)
    return f"{scheme}://{at}{seeds(access)}/{quote(access.database, safe='')}?{query}"


def shell(access: Access) -> ShellCommand:
    """mongosh, which reads the URL from its environment: argv is everybody's to read."""
    login = "db = connect(process.env.MNGDB_URL); delete process.env.MNGDB_URL"
    arguments = ("--nodb", "--quiet", "--shell", "--eval", login)
    return ShellCommand(
        programs=(("mongosh", arguments),),
        env={"MNGDB_URL": url(access)},
        install="install mongosh: https://www.mongodb.com/docs/mongodb-shell/install/",
    )
