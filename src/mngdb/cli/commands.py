"""The commands, without an import of any."""

from __future__ import annotations

#: Command to module and the line that `--help` shows.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("file", "Write a commented mngdb.yaml."),
    "config": ("file", "Print the file with all defaults filled in."),
    "schema": ("file", "Print the JSON Schema of the file, for editors."),
    "plan": ("stack", "Show the steps that 'up' would take."),
    "up": ("stack", "Apply the file: start and harden servers, give every app a login."),
    "restart": ("stack", "Restart servers, or the whole stack."),
    "status": ("stack", "Show what is running where, and whether it responds."),
    "down": ("stack", "Stop the servers cleanly; data is kept."),
    "enable": ("boot", "Start the stack at boot."),
    "disable": ("boot", "Do not start the stack at boot."),
    "destroy": ("stack", "Stop the servers and remove everything, data included."),
    "stacks": ("stacks", "List the stacks of this account."),
    "logs": ("stack", "Show a server's log."),
    "url": ("use", "Print a connection string."),
    "env": ("env", "Print an app's variables, or check a .env file."),
    "shell": ("use", "Open psql, redis-cli or mongosh."),
    "doctor": ("doctor", "Show what is wrong, the most likely cause first."),
    "check": ("check", "Check the live servers against the production guide."),
    "sessions": ("sessions", "Show who is connected, and what is running."),
    "connections": ("sessions", "Show who holds how many connections, and what to change."),
    "slow": ("slow", "Show which statements take the most time, and why."),
    "indexes": ("indexes", "Show unused, duplicate and missing indexes, and what to run."),
    "bloat": ("bloat", "Show wasted space, and what to run."),
    "memory": ("memory", "Show what uses each server's memory, and what to change."),
    "locks": ("locks", "Show who blocks whom in PostgreSQL, or end a session."),
    "keys": ("keys", "Show the memory use of a Redis by key pattern."),
    "secret": ("use", "Store a secret in the vault."),
    "secrets": ("secrets", "Scan the project's files for secrets."),
    "alerts": ("alerts", "Show active alerts and rules, or test a channel."),
    "agent": ("agent", "Serve metrics and restart crashed servers."),
    "render": ("render", "Write the stack as files for other tools."),
}
