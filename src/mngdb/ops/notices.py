"""What a person should know of a stack as its file has it, whatever its servers do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mngdb.model import DesiredInstance, Notice, Step
from mngdb.ops import leftovers, team
from mngdb.ops.backup import place, schedule
from mngdb.ops.context import Context
from mngdb.ops.status import full_disk
from mngdb.spec.alerts import secret_of
from mngdb.vaults import own_folder


def of_file(context: Context) -> list[Notice]:
    """Keys that do nothing here, a vault of before, backups, channels that cannot be told, what
    the file does not name any more, and groups that it names in vain."""
    return [
        *_unused(context),
        *_of_vault(context),
        *_of_backups(context),
        *_of_channels(context),
        *leftovers.notices(context),
        *team.notices(context),
    ]


def _of_channels(context: Context) -> list[Notice]:
    """Channels that cannot be told yet; the databases need not wait for that."""
    return [
        Notice(
            "",
            f"the channel {name} has no secret yet: its notifications are disabled",
            f"mngdb secret set {secret_of(name)}",
        )
        for name, channel in context.stack.source.alerts.channels.items()
        if channel.needs_secret and context.vault.get(secret_of(name)) is None
    ]


def shut_out(context: Context, done: Iterable[Step[Any]]) -> list[Notice]:
    """Apps for which these steps were taken and that servers of others do not let in; what finds
    that is loaded for these alone."""
    if all(one.managed for one in context.stack.instances.values()):
        return []
    from mngdb.ops import access

    return access.shut_out(context, done)


def of_memory(asked: Iterable[DesiredInstance]) -> list[Notice]:
    """Instances whose memory in the file is more than there is: they are killed, or do not start,
    before they have used it."""
    found = []
    for one in asked:
        there_is = one.site.memory if one.site else 0
        if 0 < there_is < one.instance.memory.of(there_is):
            text = (
                f"memory {one.instance.memory} is more than the {there_is >> 20}mb of the machine "
                "or of its container"
            )
            found.append(Notice(one.instance.name, text, "set a smaller one, or a share: 50%"))
    return found


def of_disks(context: Context, names: Iterable[str]) -> list[Notice]:
    """Instances whose disks take no more: where nothing has to be changed, `up` meets no error."""
    every = ((name, full_disk(context, context.instance(name))) for name in names)
    return [Notice(name, text, "mngdb doctor") for name, text in every if text]


def _unused(context: Context) -> list[Notice]:
    found = []
    if context.stack.source.redisinsight is not None and not context.stack.insight:
        found.append(Notice("", "redisinsight: needs target compose and is ignored here"))
    if context.stack.page_roles == ():
        found.append(
            Notice(
                "",
                "sso: has no roles: everybody who can log in to the realm has full access to "
                "Redis in RedisInsight",
                "sso: {roles: [NAME]}, of the realm or CLIENT:NAME",
            )
        )
    return found


def _of_vault(context: Context) -> list[Notice]:
    """Secrets in the stack's own directory, while another vault has those that count."""
    before = own_folder(context.stack.state)
    if context.vault.folder == before or not (before.is_dir() and any(before.iterdir())):
        return []
    return [
        Notice(
            "",
            f"secrets are still in {before}, which is not the vault any more: apps that read "
            "MNGDB_SETTINGS there do not see rotations",
            f"restart them with what 'mngdb env APP --for client' prints, then: rm -r {before}",
        )
    ]


def _of_backups(context: Context) -> list[Notice]:
    from mngdb.ops.backup.history import iso

    if context.stack.backup is None:
        last = schedule.last_taken(context)
        text = "no backups are taken any more: the file has no 'backup:'"
        return [Notice("", f"{text} (the last one: {iso(last)})")] if last else []
    return [
        *(Notice("", f"backup: {text}", hint) for text, hint in place.concerns(context)),
        *(
            Notice(
                "",
                f"backup: what was taken until now stays in {store}, and is not restored from here",
                "to restore it, name that store in the file again: backup: {store: …}",
            )
            for store in schedule.left(context)
        ),
    ]
