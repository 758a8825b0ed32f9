"""Rules for commands, judged by what they permit."""

from __future__ import annotations

import re

#: What would harm the management of the server, wherever the app is.
_MANAGEMENT = {
    "acl|setuser": "it changes logins",
    "acl|deluser": "it removes logins",
    "acl|list": "it shows the logins of others",
    "acl|users": "it shows the logins of others",
    "acl|getuser": "it shows the logins of others",
    "acl|dryrun": "it shows the rights of others",
    "acl|log": "it shows, and empties, the log of refusals",
    "acl|load": "it reloads all logins",
    "acl|save": "it writes the file of logins",
    "config|get": "it shows passwords, such as requirepass and masterauth",
    "config|set": "it changes the server's settings",
    "config|rewrite": "it writes the server's configuration file",
    "config|resetstat": "it resets the server's metrics",
    "latency|reset": "it resets the server's metrics",
    "slowlog|reset": "it empties the slow log",
    "commandlog|reset": "it empties the slow log",
    "client|pause": "it stops every client, the administrator too",
    "script|debug": "it stops the server",
    "module|load": "it loads code into the server",
    "module|loadex": "it loads code into the server",
    "module|unload": "it removes code from the server",
    "debug": "it can crash the server",
    "shutdown": "it stops the server",
    "replicaof": "it replaces all data by another server's",
    "slaveof": "it replaces all data by another server's",
    "psync": "it copies all data",
    "sync": "it copies all data",
    "replconf": "it is part of replication",
    "failover": "it changes the primary",
    "cluster": "it changes the cluster",
    "monitor": "it shows the commands of every client",
    "save": "it writes snapshots, which are the stack's to write",
    "bgsave": "it writes snapshots, which are the stack's to write",
    "bgrewriteaof": "it rewrites the append-only file, which is the stack's to rewrite",
    "restore-asking": "it is part of a cluster",
    "pfselftest": "it is a self-test that blocks the server",
    "pfdebug": "it is for debugging",
}
#: What harms only those that use the same instance.
_NEIGHBOURS = {
    "flushall": "it deletes the keys of all apps",
    "flushdb": "it deletes the keys of all apps",
    "swapdb": "it exchanges the keys of all apps",
    "keys": "it blocks the server while it goes through the keys of all apps",
    "randomkey": "it shows the keys of other apps",
    "migrate": "it blocks the server",
    "client|list": "it shows the connections of other apps",
    "client|kill": "it ends the connections of other apps",
    "client|unblock": "it ends the waiting of other apps",
    "client|tracking": "it writes into the connections of other apps, up to their end (REDIRECT)",
    "client|no-evict": "it lets others pay for the app's memory",
    "slowlog|get": "it shows the commands of other apps",
    "commandlog|get": "it shows the commands of other apps",
    "pubsub|channels": "it shows the channels of other apps",
    "pubsub|shardchannels": "it shows the channels of other apps",
    "function|load": "functions are the server's, not one app's",
    "function|delete": "functions are the server's, not one app's",
    "function|flush": "functions are the server's, not one app's",
    "function|restore": "functions are the server's, not one app's",
    "function|dump": "functions are the server's, not one app's",
    "function|kill": "it ends the scripts of other apps",
    "function|list": "functions are the server's, not one app's",
    "function|stats": "it shows the commands of other apps",
    "hotkeys": "it shows the keys of other apps",
    "script|flush": "it removes the scripts of all apps",
    "script|kill": "it ends the scripts of other apps",
    "script|show": "it shows the scripts of other apps",
}
#: Of these, what deletes or moves keys that are not the app's.
_DELETE = ("flushall", "flushdb", "swapdb")
#: Categories that have some of the above, whatever mngdb takes away afterwards.
_CATEGORIES = {
    "@all": "it is every command",
    "@admin": "it has ACL SETUSER, CONFIG SET and SHUTDOWN",
    "@dangerous": "it has ACL SETUSER, CONFIG SET and SHUTDOWN",
}
#: What a category may bring, and mngdb's usual denials do not take away. SCRIPT LOAD and EXISTS are
#: given back afterwards; not every server knows SCRIPT SHOW, so it is not named here.
AFTER_CATEGORIES = ("-script",)


def check_rule(value: str) -> str:
    """A rule that an app may have, at least on an instance of its own. Raises ValueError."""
    if not re.fullmatch(r"[+-]@?[a-z][a-z0-9_.-]*(\|[a-z0-9_.-]+)?", value):
        raise ValueError(f"{value!r} is not a command rule; write +command, -command, +@category")
    if value == "-@all":
        raise ValueError("'-@all' leaves no command; remove the app's right instead")
    reason = _CATEGORIES.get(value[1:]) or _effect(value, _MANAGEMENT)
    if value[0] == "+" and reason:
        raise ValueError(f"{value!r} is not possible: {reason}; name single commands")
    return value


def harms_neighbours(rule: str) -> str | None:
    """Why a rule cannot be where other apps are, in a clause; None: it can."""
    return _effect(rule, _NEIGHBOURS)


def deletes(rule: str) -> bool:
    """Whether a rule permits what takes the keys of all apps."""
    return rule[0] == "+" and rule[1:] in _DELETE


def denies(rule: str, needed: str) -> bool:
    """Whether a rule takes away a command that is needed."""
    return rule[0] == "-" and f"{needed}|".startswith(f"{rule[1:]}|")


def _effect(rule: str, table: dict[str, str]) -> str | None:
    """The reason of the first command that the rule permits: itself, the command that its first
    argument is of, or one of its subcommands."""
    if rule[0] != "+" or rule[1] == "@":
        return None
    name = rule[1:]
    command = name.partition("|")[0]
    found = table.get(name) or table.get(command)
    if found is None and "|" not in name:
        below = [one for one in table if one.startswith(f"{name}|")]
        return f"{below[0].replace('|', ' ').upper()}: {table[below[0]]}" if below else None
    return found
