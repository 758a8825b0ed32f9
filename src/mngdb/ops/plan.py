"""`plan`: what `up` would change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Never

from msgspec import Struct

from mngdb.errors import MngdbError
from mngdb.events import Survey
from mngdb.model import Notice, Step
from mngdb.ops import (
    boot,
    leftovers,
    notices,
    old_copy,
    paid,
    passwords,
    patch_levels,
    publish,
    team,
    unusable,
    workers,
)
from mngdb.ops.agent import AgentUnit
from mngdb.ops.context import Context
from mngdb.ops.relocate import due as relocate_due
from mngdb.ops.secret_steps import secret_steps
from mngdb.spec.agent import AGENT
from mngdb.spec.stack import Instance, secret_name


class Plan(Struct, frozen=True):
    """The steps that `up` would take now, in order."""

    steps: tuple[Step[Never], ...]
    notices: tuple[Notice, ...]
    errors: Mapping[str, MngdbError]
    """Instance to why it could not be looked at, and an app's secret to why it cannot be used; the
    steps are those of the others."""
    refused: int
    """How many of the steps are destructive and not named by the command, or cost what it did not
    agree to."""


def plan(context: Context, allow: frozenset[str]) -> Plan:
    """Look at everything, change nothing. Raises the error of an instance that is the only one."""
    foreign = [i for i in context.stack.instances.values() if not (i.managed or i.hosted)]
    given = {secret_name(instance, "admin") for instance in foreign}
    missing = context.missing_secrets()
    asked = context.all_asked(allow=allow)
    given |= passwords.kept(context, asked)
    made = [one for one in missing if one not in given]
    steps = secret_steps(context, made)
    move = relocate_due(context)
    steps += [move] if move else []
    for servers in context.servers():
        servers.expect(context.there(asked, servers))
        servers.check_names(allow)
        steps += servers.repairs(context.there(asked, servers))

    def job(instance: Instance, emit: workers.Emit) -> tuple[Survey, int]:
        context.need_admin(instance)
        old_copy.check(context, asked[instance.name])
        converger = context.target(instance).converger(asked[instance.name], emit)
        found = converger.survey()
        refused = sum(not converger.may(step) for step in found.steps)
        return found, refused

    agent = AgentUnit(context)
    steps += [*leftovers.steps(context), *paid.steps(context, allow), *team.steps(context)]
    found, errors = workers.apart(workers.each(context.stack, job, lambda _: None))
    if len(errors) == 1 and not found:
        raise next(iter(errors.values()))
    surveys = [survey for survey, _ in found.values()]
    mending = list(agent.steps())
    if mending:
        try:
            agent.preflight()
        except MngdbError as error:
            errors[AGENT] = error
    last = [step for sidecars in context.sidecars() for step in sidecars.steps()]
    try:
        unit = list(boot.steps(context))
    except MngdbError as error:
        unit, errors[boot.AT_BOOT] = [], error
    errors |= unusable.of_apps(context)
    return Plan(
        (
            *steps,
            *(step for survey in surveys for step in survey.steps),
            *last,
            *publish.steps(context, made=made),
            *mending,
            *unit,
        ),
        tuple(notices.of_file(context))
        + tuple(paid.notices(context, allow))
        + tuple(notices.of_memory(asked.values()))
        + tuple(patch_levels.notices(context, asked, asked))
        + tuple(notice for survey in surveys for notice in survey.notices),
        errors,
        sum(refused for _, refused in found.values()),
    )
