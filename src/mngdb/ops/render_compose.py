"""`render compose`: the folder of the target `compose`, without asking a Docker engine."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from mngdb.errors import SecretError, UsageError
from mngdb.lock import lock
from mngdb.ops import audit, unusable
from mngdb.ops.context import Context
from mngdb.ops.secret_steps import secret_steps
from mngdb.targets.compose import certificates, page_certificate
from mngdb.targets.compose.runner import ComposeRunner


def render(context: Context, output: Path | None) -> Path:
    """Write the folder, making secrets that are missing. Returns where. Raises UsageError."""
    here = [one for one in context.stack.instances.values() if one.contained]
    if not here:
        raise UsageError("no instance uses the target compose", "add --target compose")
    host = context.target(here[0]).servers
    assert isinstance(host, ComposeRunner)  # noqa: S101 - no other target is `contained`
    folder = host.folder if output is None else replace(host.folder, root=output.resolve())
    folder.claim()
    context.missing_secrets()
    if bad := unusable.of_apps(context, [one.name for one in here]):
        # whoever starts the folder by hand gets all of it, or is told
        raise SecretError.together(bad.values())
    context.claim()
    with lock(context.stack.state / "lock", "render compose"):
        context = context.with_ports()
        settled = context.target(here[0]).servers
        assert isinstance(settled, type(host))  # noqa: S101 - it is the same with ports
        host = settled
        for step in secret_steps(context, context.missing_secrets()):
            step.run(None)
            audit.note(context.stack.state, "render compose", step)
        page_certificate.ensure(context.stack)
        if certificates.wanted(context.stack):
            certificates.ensure(context.stack)
        host.expect({one.name: context.asked(context.instance(one.name)) for one in here})
        assert host.wanted is not None  # noqa: S101 - just made
        host.places.wrote(folder.root)
        host.wanted.write(folder, {instance.name for instance in here})
        # a server that 'up' has started here reads these files as they are: they are made another
        # with it, by 'up', and its health check asks for no more than it has
        units = [instance.unit for instance in here]
        own = host.places.own(folder.root)
        used = [unit for unit in units if own and host.project.notes.applied(unit)]
        host.wanted.write_units(folder, but=used)
    return folder.root
