"""What differs between a Redis server as asked and as found. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mngdb.engines import logins
from mngdb.engines.redis import acl, patterns, render, software
from mngdb.engines.redis.facts import Facts
from mngdb.errors import StepError, UsageError
from mngdb.model import Action, Change, DesiredInstance, Notice, Outcome, Step
from mngdb.spec.agent import MONITOR
from mngdb.spec.redis import EVENTS, RedisGrant, events
from mngdb.spec.redis_commands import deletes

if TYPE_CHECKING:
    from mngdb.engines.redis.client import Session

#: Settings that `CONFIG SET` refuses on Redis 7 and 8 (tried one by one), and those that would cut
#: off the connection that sets them.
_COLD = frozenset({
    "always-show-logo", "aof-rewrite-cpulist", "aof_rewrite_cpulist", "appenddirname",
    "appendfilename", "bgsave-cpulist", "bgsave_cpulist", "bio-cpulist", "bio_cpulist",
    "cluster-config-file", "cluster-enabled", "cluster-port", "daemonize", "databases",
    "dbfilename", "dir", "disable-thp", "enable-debug-command", "enable-module-command",
    "enable-protected-configs", "io-threads", "io-threads-do-reads", "pidfile", "rdbchecksum",
    "server-cpulist", "server_cpulist", "set-proc-title", "socket-mark-id", "supervised",
    "syslog-enabled", "syslog-facility", "syslog-ident", "tcp-backlog", "port", "tls-port",
    "bind",
})  # fmt: skip
_SIZES = {
    "b": 1, "k": 10**3, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30,
}  # fmt: skip
#: Redis keeps this many descriptors for itself (CONFIG_MIN_RESERVED_FDS).
_RESERVED_FILES = 32


def reconcile(asked: DesiredInstance, facts: Facts) -> Outcome[Session]:
    """Settings that differ, steps to take, remarks.

    Raises UsageError for what no step can cure: an unknown setting or command, a login that
    another stack made.
    """
    said = (render.settings if asked.managed else render.explicit)(asked)
    notices = [*patterns.notices(asked), *software.notices(asked, {**facts.settings, **said})]
    _refuse_unknown(asked, facts)
    changes = tuple(_changes(asked, facts, said, notices))
    steps = (
        *_saving(asked, facts),
        *_wanted_users(asked, facts, notices),
        *_unwanted_users(asked, facts, notices),
    )
    notices += logins.namesakes(asked, _every(asked, facts))
    if not facts.kept and asked.instance.grants:
        notices.append(
            Notice(
                asked.instance.name,
                "the server has no ACL file: its logins are lost when it restarts",
                "set 'aclfile' on the server, or run 'mngdb up' after each of its restarts",
            )
        )
    return Outcome(changes, steps, tuple(notices), facts.release)


def _saving(asked: DesiredInstance, facts: Facts) -> Iterator[Step[Session]]:
    """It refuses writes until a snapshot succeeds, and may wait a quarter of an hour by itself."""

    def run(session: Session) -> None:
        from mngdb.engines.redis import saving

        saving.save(session)

    if facts.unsaved:
        yield _step(asked, "change", "snapshot", "saved again: the last one failed", run)


def same(name: str, found: str, wanted: str) -> bool:
    """Whether two values of a setting mean the same: 64mb and 67108864, Ex and xE."""
    if found == wanted:
        return True
    if name == EVENTS:
        return events(found) == events(wanted)
    if name == "client-output-buffer-limit":
        # one that names some classes leaves the others as they are
        return _limits(wanted).items() <= _limits(found).items()
    if name in {"dir", "bind"} or "/" in wanted:
        return False
    ours, theirs = wanted.split(), found.split()
    return len(ours) == len(theirs) and all(map(_same_word, ours, theirs))


def _same_word(one: str, other: str) -> bool:
    try:
        return _number(one) == _number(other)
    except ValueError:
        return one.lower() == other.lower()


def _number(word: str) -> float:
    match = re.fullmatch(r"(\d+)(b|kb?|mb?|gb?)", word.lower())
    return int(match[1]) * _SIZES[match[2]] if match else float(word)


def _limits(value: str) -> dict[str, tuple[float, ...]]:
    words = value.lower().replace("replica", "slave").split()
    try:
        return {
            words[i]: tuple(_number(word) for word in words[i + 1 : i + 4])
            for i in range(0, len(words), 4)
        }
    except ValueError:
        return {value: ()}


def _refuse_unknown(asked: DesiredInstance, facts: Facts) -> None:
    """Found now, because a server does not start with a word that it does not know."""
    name = asked.instance.name
    for app, grant in asked.instance.granted(RedisGrant).items():
        for rule in grant.commands:
            if rule[1:] in facts.unknown:
                raise UsageError(
                    f"app {app}: the server of {name} has no command {rule[1:]!r}",
                    "correct `commands`, or load the module that has it",
                )
    if asked.managed and facts.release.same(render.release(asked)):
        for setting in render.spec_of(asked).settings:
            if setting.lower() not in facts.settings:
                raise UsageError(f"{name}: Redis has no setting {setting!r}")


def _changes(
    asked: DesiredInstance, facts: Facts, said: Mapping[str, str], notices: list[Notice]
) -> Iterator[Change]:
    """Settings that differ from `said`."""
    name = asked.instance.name
    for setting, value in said.items():
        found = facts.settings.get(setting)
        if found is None:
            if not asked.managed:
                notices.append(Notice(name, f"the server does not show the setting {setting}"))
            continue
        if same(setting, found, value):
            continue
        reloadable = setting not in _COLD
        if setting == "appendonly" and value == "no" and asked.managed:
            # the log that a running server leaves behind would bring the past back
            reloadable = facts.settings.get(render.READING[0]) == render.READING[1]
        if setting == "maxclients" and asked.managed and int(value) > int(found):
            room = facts.open_files - _RESERVED_FILES
            if room < int(value):
                notices.append(
                    Notice(
                        name,
                        f"the system limits the server to {facts.open_files} open files, so it "
                        f"accepts {found} clients instead of {value}",
                        "raise the limit (`ulimit -Hn`, LimitNOFILE) to "
                        f"{int(value) + _RESERVED_FILES} or more, then restart the server",
                    )
                )
                continue
            # a process may have been given less than there is now: only a new one is sure
            reloadable = False
        if not reloadable and not asked.managed:
            notices.append(
                Notice(
                    name,
                    f"{setting} is {found}, the file asks for {value}; that requires a restart",
                    "ask its operator to change it",
                )
            )
            continue
        yield Change(setting, found, value, reloadable)


def _wanted_users(
    asked: DesiredInstance, facts: Facts, notices: list[Notice]
) -> Iterator[Step[Session]]:
    apps, left = acl.by_login(asked), _left(asked, facts)
    if left:
        notices += _spared(asked, left)
    for name, user in acl.wanted(asked, sparing=bool(left)).items():
        found = facts.users.get(name)
        login = _login(found, user) if found else None
        user = user.marked(logins.mark(asked, login)) if login else user
        if found == user:
            continue
        app, grant = apps.get(name, (name, None))
        right = acl.describe(grant) if grant else ""
        if app != name:
            right += f", as the user '{name}'"
        if name == MONITOR:
            right = "read metrics, no keys"
        if login and logins.needs_consent(asked, login):
            yield logins.take_over(asked, login)
            if found and grant and asked.instance.adopt:
                yield from _widened(asked, facts, found, user, grant)
                if app not in asked.unknown and not user.passwords <= found.passwords:
                    notices.append(logins.other_password(asked, app))
            continue
        if found == acl.default_user() and grant:
            found = None  # it is off, and everybody's
        action, detail = _said(found, user, right)
        # sessions that began with more rights may be in the middle of using them
        kick = found is not None and action != "grant" and _rights(found) != _rights(user)
        yield _step(asked, action, app, detail, _set_user(user, facts.acl_file, kick=kick))


def _left(asked: DesiredInstance, facts: Facts) -> list[str]:
    """Logins whose apps left the file, and that nobody drops now: their keys may be there."""
    kept = acl.wanted(asked)
    others = (_login(user) for name, user in facts.users.items() if name not in kept)
    return [one.name for one in others if logins.unwanted(asked, one) in {"close", "closed"}]


def _spared(asked: DesiredInstance, left: Sequence[str]) -> Iterator[Notice]:
    """Who does not get a command that would delete the keys of apps that left the file."""
    for app, grant in asked.instance.granted(RedisGrant).items():
        if rules := [rule for rule in grant.commands if deletes(rule)]:
            yield Notice(
                asked.instance.name,
                f"{app} does not get {' '.join(rules)} yet: that would delete the keys of "
                f"{', '.join(left)}, which left the file",
                f"once their logins are dropped ('mngdb up --prune'), {app} gets it",
            )


def _widened(
    asked: DesiredInstance, facts: Facts, found: acl.User, wanted: acl.User, grant: RedisGrant
) -> Iterator[Step[Session]]:
    """An adopted login gets the keys and channels of the file that it lacks, and keeps all that it
    has."""
    rules = [rule for rule in acl.lacking(found, wanted) if rule not in acl.levels(grant)]
    name = found.name
    if rules:

        def run(session: Session) -> None:
            _save(session, facts.acl_file)
            session.ask("ACL", "SETUSER", name, *rules)
            _save(session, facts.acl_file)

        yield logins.mended(_step(asked, "grant", name, " ".join(rules), run))


def _said(found: acl.User | None, user: acl.User, right: str) -> tuple[Action, str]:
    """What a step does to a login, in a word and a clause."""
    if found is None:
        return "create", f"login, {right}" if right else "login"
    if user.name == acl.DEFAULT and not right:
        if found.on == user.on:
            return "change", "every right, needed to load the append-only file"
        return "revoke", "disable the login that needs no name"
    if found.locked:
        return "change", f"enable the login, {right}" if right else "enable the login"
    gained, lost = acl.excess(user, found), acl.excess(found, user)
    if found.commands != user.commands:
        clauses = [*([f"add {gained}"] if gained else []), *([f"remove {lost}"] if lost else [])]
        return "change", "; ".join(clauses) or "the order of its rules for commands"
    if gained and lost:
        return "change", f"add {gained}; remove {lost}"
    if gained or lost:
        return ("grant", gained) if gained else ("revoke", lost)
    return "change", "its secret" if found.on == user.on else "enable the login"


def _rights(user: acl.User) -> tuple[object, ...]:
    return user.on, user.flags, user.commands, user.keys, user.channels, user.selectors


def _login(user: acl.User, wanted: acl.User | None = None) -> logins.Login:
    usable = user.on if user.mark is None else not user.locked
    agrees = bool(wanted and user.passwords & wanted.passwords)
    return logins.Login(user.name, user.mark, usable, agrees)


def _every(asked: DesiredInstance, facts: Facts) -> Iterator[logins.Login]:
    wanted = acl.wanted(asked)
    return (_login(user, wanted.get(name)) for name, user in facts.users.items())


def _unwanted_users(
    asked: DesiredInstance, facts: Facts, notices: list[Notice]
) -> Iterator[Step[Session]]:
    kept = acl.wanted(asked)
    for name, user in facts.users.items():
        if name in kept:
            continue
        login = _login(user)
        match logins.unwanted(asked, login):
            case "drop":
                run = _drop_user(name, facts.acl_file)
                yield _step(asked, "drop", name, "its login", run, destructive=True)
            case "close":
                locked = acl.locked_user(name, asked.mark)
                run = _set_user(locked, facts.acl_file, kick=True)
                yield _step(asked, "revoke", name, "every right; it can no longer log in", run)
                notices.append(logins.closed(asked, login))
            case "closed":
                notices.append(logins.closed(asked, login))
            case "shut" if user.on:
                detail, run = "it is not in the file; login disabled", _switch_off(name)
                yield _step(asked, "revoke", name, detail, run, destructive=True)
            case "report" if user.on:
                rules = " ".join((*sorted(user.keys), *sorted(user.channels), user.commands))
                more = "; it is lost when the server restarts"
                notices.append(logins.reported(asked, login, rules, more=more))


def _switch_off(name: str) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.ask("ACL", "SETUSER", name, "off")
        session.ask("CLIENT", "KILL", "USER", name)

    return run


def _set_user(
    user: acl.User, acl_file: bool | None, kick: bool = False
) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        _save(session, acl_file)
        # one command: the login is never without its rights in between
        session.ask("ACL", "SETUSER", user.name, "reset", *user.rules())
        if kick:
            session.ask("CLIENT", "KILL", "USER", user.name)
        _save(session, acl_file)

    return run


def _drop_user(name: str, acl_file: bool | None) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        _save(session, acl_file)
        session.ask("ACL", "DELUSER", name)
        _save(session, acl_file)

    return run


def _save(session: Session, acl_file: bool | None) -> None:
    """Have logins outlive a restart, where the server has a file for them or may have one. Called
    before a change, too: one that cannot be kept is not made, as the next look would find it in
    the server's memory and take it for kept. Raises StepError."""
    if acl_file is False:
        return
    try:
        session.ask("ACL", "SAVE")
    except StepError as error:
        if acl_file:
            raise StepError(
                f"the server cannot save its logins: {error.message}",
                "the server's account needs write access to the 'aclfile' and to its directory, "
                "and the login in the url needs ACL SAVE",
            ) from error


def _step(
    asked: DesiredInstance,
    action: Action,
    name: str,
    detail: str,
    run: Callable[[Session], None],
    destructive: bool = False,
) -> Step[Session]:
    return Step(
        asked.instance.name,
        "redis",
        action,
        name,
        detail,
        run,
        destructive=destructive,
        app=name if name in asked.instance.grants else "",
        kind="user",
    )
