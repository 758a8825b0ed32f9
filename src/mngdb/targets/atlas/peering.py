"""VPC peering: Atlas' network, the connection, its acceptance and the routes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mngdb.errors import StepError, UsageError
from mngdb.spec.atlas import Peering, network
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.aws import spelled
from mngdb.targets.atlas.journal import Journal, intent
from mngdb.targets.atlas.session import AtlasStep, Found, Make, Session, Wanted, take_over
from mngdb.targets.atlas.waiting import wait

#: The kinds of the journal's notes: the connection, routes by their tables.
PEER, ROUTE = "peer", "route"
_USUAL = "1 to 5 min"


def region_of(wanted: Wanted, peering: Peering) -> str:
    """The region of the file's VPC, in Atlas' spelling."""
    return peering.region or wanted.region


def questions(session: Session) -> dict[str, Callable[[], Any]]:
    """What to ask of Atlas, where the file or the journal has a peering."""
    peering = session.wanted.spec.peering
    if peering is None and not session.journal.of(PEER):
        return {}
    return {
        "peers": lambda: session.api.every(*session.group("peers"), providerName="AWS"),
        "containers": lambda: session.api.every(*session.group("containers"), providerName="AWS"),
    }


def aws_questions(session: Session) -> dict[str, Callable[[], Any]]:
    """What to ask of AWS."""
    peering = session.wanted.spec.peering
    if peering is None:
        return {}
    region = region_of(session.wanted, peering)
    return {
        "routes": lambda: session.aws(region).routes(peering),
        "blocks": lambda: session.aws(region).blocks(peering.vpc),
        "private_dns": lambda: session.aws(region).resolves(peering.vpc),
    }


def preflight(wanted: Wanted, found: Found) -> None:
    """Raise UsageError for networks that cannot be joined, before anything is asked for."""
    peering = wanted.spec.peering
    if peering is None:
        return
    for block in found.blocks:
        if network(block).overlaps(network(peering.atlas_cidr)):
            raise UsageError(
                f"{wanted.known}: atlas_cidr {peering.atlas_cidr} overlaps {block} of "
                f"{peering.vpc}",
                "choose another 'atlas_cidr' in the file",
            )
    if found.blocks and peering.vpc_cidr not in found.blocks:
        raise UsageError(
            f"{wanted.known}: {peering.vpc} has {', '.join(found.blocks)}, not {peering.vpc_cidr}",
            f"write 'vpc_cidr: {found.blocks[0]}'",
        )
    container = _container(wanted, found)
    block = str(container.get("atlasCidrBlock")) if container else peering.atlas_cidr
    if block != peering.atlas_cidr:
        raise UsageError(
            f"{wanted.known}: Atlas' network in {wanted.region} is {block}, not "
            f"{peering.atlas_cidr}; it cannot change once it exists",
            f"write 'atlas_cidr: {block}'",
        )
    for table, leads in found.routes.items():
        peer = _peer(peering, found)
        if leads and leads != (peer or {}).get("connectionId"):
            raise UsageError(
                f"{wanted.known}: {table} has a route to {peering.atlas_cidr} by {leads}",
                "remove that route, or the table from 'route_tables' in the file",
            )


def before(wanted: Wanted, found: Found, _: Journal, make: Make) -> Iterator[AtlasStep]:
    """Atlas' network: it takes its own range with the first cluster, and keeps it."""
    peering = wanted.spec.peering
    if peering is not None and _container(wanted, found) is None:
        name = f"peering network {wanted.region}"
        yield make("create", name, f"Atlas' network {peering.atlas_cidr}", _make_container)


def after(wanted: Wanted, found: Found, journal: Journal, make: Make) -> Iterator[AtlasStep]:
    """The connection and its routes; what left the file goes when it is named."""
    peering = wanted.spec.peering
    for note in journal.of(PEER):
        project, _, vpc = note.partition("/")
        if project == wanted.project and (peering is None or vpc != peering.vpc):
            text = "it left the file: apps that come by it lose their way"
            run = _remover(vpc)
            yield make("drop", f"peering {vpc}", text, run, destructive=True)
    if peering is None:
        return
    name, peer = f"peering {peering.vpc}", _peer(peering, found)
    if peer is not None and not _may(wanted, journal, peering, peer):
        yield take_over(make, name, "a peering connection")
        return
    status = str(peer.get("statusName")) if peer else ""
    if peer is None:
        text = f"{peering.vpc_cidr} with {peering.atlas_cidr}: request, accept, route"
        yield make("create", name, text, _connect, costs="traffic between zones and regions")
    elif status == "FAILED":
        text = f"it failed: {peer.get('errorStateName') or 'no reason given'}"
        yield make("rebuild", name, text, _reconnect)
    elif status != "AVAILABLE":
        yield make("start", name, f"accept it and wait ({status})", _connect)
    elif missing := [table for table in peering.route_tables if not found.routes.get(table)]:
        yield make("change", name, f"routes in {', '.join(missing)}", _connect)


def _note(wanted: Wanted, peering: Peering) -> str:
    return f"{wanted.project}/{peering.vpc}"


def _may(wanted: Wanted, journal: Journal, peering: Peering, peer: Json) -> bool:
    """Whether a connection is ours, or taken over."""
    mine = journal.ours(PEER, _note(wanted, peering), str(peer["id"]))
    return mine or wanted.allows(f"peering {peering.vpc}")


def _container(wanted: Wanted, found: Found) -> Json | None:
    return next((one for one in found.containers if one.get("regionName") == wanted.region), None)


def _peer(peering: Peering, found: Found) -> Json | None:
    return next((one for one in found.peers if one.get("vpcId") == peering.vpc), None)


def _make_container(session: Session) -> None:
    wanted, peering = session.wanted, session.wanted.spec.peering
    assert peering is not None  # noqa: S101 - the step is made only with it
    body = {
        "providerName": "AWS",
        "regionName": wanted.region,
        "atlasCidrBlock": peering.atlas_cidr,
    }
    session.api.post(body, *session.group("containers"))  # it goes with the project


def _connect(session: Session) -> None:
    """Request, accept, wait, route: each is looked for first."""
    wanted, peering = session.wanted, session.wanted.spec.peering
    assert peering is not None  # noqa: S101 - the step is made only with it
    region, note = region_of(wanted, peering), _note(wanted, peering)
    peer = _now(session, peering)
    if peer is not None and not _may(wanted, session.journal, peering, peer):
        raise StepError(f"somebody else has just made a peering with {peering.vpc}", "mngdb plan")
    if peer is None:
        containers = session.api.every(*session.group("containers"), providerName="AWS")
        container = _container(wanted, Found(containers=containers))
        if container is None:
            raise StepError(f"Atlas has no network in {wanted.region}", "mngdb up")
        body = {
            "providerName": "AWS",
            "accepterRegionName": spelled(region),
            "awsAccountId": peering.account,
            "containerId": container["id"],
            "routeTableCidrBlock": peering.vpc_cidr,
            "vpcId": peering.vpc,
        }
        with session.journal.making(PEER, note, intent()):
            peer = session.api.post(body, *session.group("peers"))
    known = str(peer["id"])
    session.journal.write(PEER, note, known)
    last: Json = dict(peer)

    def look(*done: str) -> tuple[str, bool]:
        last.update(session.api.get(*session.group("peers", known)))
        status = str(last["statusName"])
        if status == "FAILED":
            raise StepError(
                f"the peering with {peering.vpc} failed: "
                f"{last.get('errorStateName') or 'no reason given'}",
                "check 'account', 'vpc' and 'region' in the file; 'mngdb up' asks again",
            )
        return status, status in done

    what = f"peering {peering.vpc}"
    asked = ("PENDING_ACCEPTANCE", "FINALIZING", "AVAILABLE")
    wait(session, what, lambda: look(*asked), _USUAL, "its acceptance, routes")
    aws = session.aws(region)
    if last["statusName"] == "PENDING_ACCEPTANCE":
        aws.accept(str(last["connectionId"]))
    wait(session, what, lambda: look("AVAILABLE"), _USUAL, "routes")
    for table, leads in aws.routes(peering).items():
        if not leads:
            with session.journal.making(ROUTE, f"{note}/{table}", peering.atlas_cidr):
                aws.route(table, peering.atlas_cidr, str(last["connectionId"]))


def _now(session: Session, peering: Peering) -> Json | None:
    peers = session.api.every(*session.group("peers"), providerName="AWS")
    return _peer(peering, Found(peers=peers))


def _reconnect(session: Session) -> None:
    peering = session.wanted.spec.peering
    assert peering is not None  # noqa: S101 - the step is made only with it
    remove(session, peering.vpc)
    _connect(session)


def _remover(vpc: str) -> Callable[[Session], None]:
    return lambda session: remove(session, vpc)


def remove(session: Session, vpc: str) -> None:
    """Take away the routes and the connection that this stack made."""
    wanted, journal = session.wanted, session.journal
    note = f"{wanted.project}/{vpc}"
    region = region_of(wanted, wanted.spec.peering) if wanted.spec.peering else wanted.region
    for place, block in journal.of(ROUTE).items():
        if place.startswith(f"{note}/"):
            session.aws(region).unroute(place.rpartition("/")[2], block)
            journal.forget(ROUTE, place)
    for peer in session.api.every(*session.group("peers"), providerName="AWS"):
        if peer.get("vpcId") == vpc and journal.ours(PEER, note, str(peer["id"])):
            path = session.group("peers", str(peer["id"]))
            session.api.delete(*path)

            def look(path: tuple[str, ...] = path) -> tuple[str, bool]:
                found = session.api.find(*path)
                return ("gone", True) if found is None else (str(found["statusName"]), False)

            wait(session, f"peering {vpc}", look, _USUAL, "")
    journal.forget(PEER, note)
