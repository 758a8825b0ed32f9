"""AWS PrivateLink: Atlas' endpoint service, an interface endpoint in the VPC, and its registration.

The service takes Atlas up to half an hour: it is asked for before the cluster, and waited for
after it. A project has one per region; one that others made serves as well, and stays theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mngdb.errors import StepError
from mngdb.targets.atlas import cluster
from mngdb.targets.atlas.api import Json
from mngdb.targets.atlas.aws import Document
from mngdb.targets.atlas.errors import AtlasError
from mngdb.targets.atlas.journal import Journal, intent
from mngdb.targets.atlas.session import AtlasStep, Found, Make, Session, Wanted
from mngdb.targets.atlas.waiting import wait

#: The kinds of the journal's notes: the service that we made, the interface endpoint in AWS.
SERVICE, ENDPOINT = "endpoint service", "vpc endpoint"
_COSTS = "about USD 8 a month for each zone in AWS, and traffic"
_USUAL_SERVICE, _USUAL_ENDPOINT = "10 to 35 min", "5 to 15 min"
_PATH = ("privateEndpoint", "AWS", "endpointService")


def key(wanted: Wanted) -> str:
    """What the journal calls the private way of a cluster."""
    return f"{wanted.project}/{wanted.region}"


def questions(session: Session) -> dict[str, Callable[[], Any]]:
    """What to ask of Atlas, where the file or the journal has a private way."""
    wanted, journal = session.wanted, session.journal
    link, known = wanted.spec.private_link, journal.knows(ENDPOINT, key(wanted))
    if link is None and not known and not journal.knows(SERVICE, key(wanted)):
        return {}
    return {"services": lambda: session.api.listed(*session.group(*_PATH))}


def aws_questions(session: Session) -> dict[str, Callable[[], Any]]:
    """What to ask of AWS."""
    link = session.wanted.spec.private_link
    if link is None:
        return {}
    return {
        "interface": lambda: session.aws().endpoint(link.vpc, ""),
        "private_dns": lambda: session.aws().resolves(link.vpc),
    }


def registered(session: Session, found: Found) -> Json | None:
    """Our interface endpoint as Atlas sees it; None: it does not know it."""
    service = service_of(session.wanted, found)
    known = _known(session, found.interface)
    if service is None or not known:
        return None
    return session.api.find(*session.group(*_PATH, str(service["id"]), "endpoint", known))


def _known(session: Session, interface: Document | None) -> str:
    """The id of our interface endpoint, as it is noted or was found; empty: there is none."""
    note = key(session.wanted)
    known = session.journal.of(ENDPOINT).get(note, "")
    if known and not session.journal.intended(ENDPOINT, note):
        return known
    return str(interface["VpcEndpointId"]) if interface else ""


def service_of(wanted: Wanted, found: Found) -> Json | None:
    """The service of the cluster's region."""
    names = {wanted.region, wanted.region.lower().replace("_", "-")}
    return next((one for one in found.services if one.get("regionName") in names), None)


def before(wanted: Wanted, found: Found, journal: Journal, make: Make) -> Iterator[AtlasStep]:
    """Ask for the service."""
    name, service = f"private service {wanted.region}", service_of(wanted, found)
    if wanted.spec.private_link is None:
        return
    if service is None:
        text = "AWS PrivateLink endpoint service of Atlas"
        yield make("create", name, text, _ask, costs=_COSTS)
    elif service.get("status") == "FAILED":
        said = service.get("errorMessage") or "no reason given"
        if journal.ours(SERVICE, key(wanted), str(service["id"])):
            yield make("rebuild", name, f"it failed: {said}", _ask_again, costs=_COSTS)
        else:
            raise StepError(
                f"{name}, which this stack did not create, failed: {said}",
                "remove it in Atlas: Network Access, Private Endpoint",
            )


def after(wanted: Wanted, found: Found, journal: Journal, make: Make) -> Iterator[AtlasStep]:
    """Make the endpoint and register it; wait for what is not ready; remove what left the file."""
    link = wanted.spec.private_link
    if link is None:
        if journal.knows(ENDPOINT, key(wanted)) or journal.knows(SERVICE, key(wanted)):
            text = "it left the file: apps that come by it lose their way"
            yield make("drop", f"private endpoint {wanted.region}", text, remove, destructive=True)
        return
    name, endpoint = f"private endpoint {link.vpc}", found.endpoint
    if found.interface is None:
        text = f"in {', '.join(link.subnets)}, registered in Atlas"
        yield make("create", name, text, _connect, costs=_COSTS)
        return
    changes = _changes(found.interface, link.subnets, link.security_groups)
    if any(changes.values()):
        known = str(found.interface["VpcEndpointId"])
        text = "subnets and security groups of the file"
        yield make("change", name, text, _changer(known, changes))
    status = endpoint.get("connectionStatus") if endpoint else None
    if status in {"REJECTED", "DELETING"}:
        said = (endpoint or {}).get("errorMessage") or str(status).lower()
        yield make("rebuild", name, f"Atlas says: {said}", _reconnect)
    elif status != "AVAILABLE":
        text = "register it in Atlas" if endpoint is None else f"wait for it ({status})"
        yield make("start", name, text, _connect)


def _changes(found: Document, subnets: list[str], groups: list[str]) -> dict[str, list[str]]:
    has = {str(one) for one in found.get("SubnetIds", ())}
    inside = {str(one["GroupId"]) for one in found.get("Groups", ())}
    return {
        "AddSubnetIds": sorted(set(subnets) - has),
        "RemoveSubnetIds": sorted(has - set(subnets)),
        "AddSecurityGroupIds": sorted(set(groups) - inside),
        "RemoveSecurityGroupIds": sorted(inside - set(groups)) if groups else [],
    }


def _changer(known: str, changes: dict[str, list[str]]) -> Callable[[Session], None]:
    return lambda session: session.aws().change_endpoint(known, changes)


def _ask(session: Session) -> None:
    """The intent is written before, so that a service that was made unseen is known as ours."""
    wanted, note = session.wanted, key(session.wanted)
    body = {"providerName": "AWS", "region": wanted.region}
    with session.journal.making(SERVICE, note, intent()):
        made = session.api.post(body, *session.group("privateEndpoint", "endpointService"))
    session.journal.write(SERVICE, note, str(made["id"]))


def _ask_again(session: Session) -> None:
    _remove_service(session)
    _ask(session)


def _connect(session: Session) -> None:
    """Service, interface endpoint, registration, connection strings: each is looked for first."""
    wanted, link = session.wanted, session.wanted.spec.private_link
    assert link is not None  # noqa: S101 - the step is made only with it
    service = _available(session)
    name, note = str(service["endpointServiceName"]), key(wanted)
    if session.journal.intended(SERVICE, note):
        session.journal.write(SERVICE, note, str(service["id"]))
    there = session.aws().endpoint(link.vpc, name)
    if there is None:
        _remove_endpoint(session)  # one that is gone in AWS is registered yet
        token = f"{wanted.mark}/{service['id']}"[-64:]
        with session.journal.making(ENDPOINT, note, intent()):
            known = session.aws().create_endpoint(link, name, token)
    else:
        known = str(there["VpcEndpointId"])
    session.journal.write(ENDPOINT, note, known)
    path = session.group(*_PATH, str(service["id"]), "endpoint")
    if session.api.find(*path, known) is None:
        session.api.post({"id": known}, *path)

    def look() -> tuple[str, bool]:
        found = session.api.get(*path, known)
        status = str(found.get("connectionStatus"))
        if status == "REJECTED":
            raise StepError(
                f"Atlas rejected the private endpoint {known}: "
                f"{found.get('errorMessage') or 'no reason given'}",
                "check 'vpc' and 'subnets' in the file; 'mngdb up' makes it anew",
            )
        return status, status == "AVAILABLE"

    wait(session, f"private endpoint {known}", look, _USUAL_ENDPOINT, "its connection string")

    def strings() -> tuple[str, bool]:
        found = session.api.get(*session.cluster())
        return str(found.get("stateName")), "privateSrv" in cluster.strings(found)

    wait(session, f"cluster {wanted.cluster}", strings, "2 min", "")


def _available(session: Session) -> Json:
    """The service, once it is there."""
    wanted = session.wanted
    last: Json = {}

    def look() -> tuple[str, bool]:
        found = Found(services=session.api.listed(*session.group(*_PATH)))
        service = service_of(wanted, found)
        if service is None and not session.journal.knows(SERVICE, key(wanted)):
            raise StepError(f"Atlas has no private endpoint service in {wanted.region}", "mngdb up")
        last.update(service or {"status": "missing"})
        if last["status"] == "FAILED":
            raise StepError(
                f"Atlas could not make its private endpoint service in {wanted.region}: "
                f"{last.get('errorMessage') or 'no reason given'}",
                "run 'mngdb up' again: it is made anew",
            )
        return str(last["status"]), bool(last.get("endpointServiceName"))

    what = f"private service {wanted.region}"
    wait(session, what, look, _USUAL_SERVICE, "the endpoint in your VPC")
    return last


def _reconnect(session: Session) -> None:
    _remove_endpoint(session)
    _connect(session)


def remove(session: Session) -> None:
    """Take away what this stack made: the endpoint, then the service that nobody else uses."""
    _remove_endpoint(session)
    if session.journal.of(SERVICE).get(key(session.wanted)) is not None:
        _remove_service(session)


def _remove_endpoint(session: Session) -> None:
    note, link = key(session.wanted), session.wanted.spec.private_link
    unseen = link is not None and session.journal.intended(ENDPOINT, note)
    known = _known(session, session.aws().endpoint(link.vpc, "") if link and unseen else None)
    for service in session.api.listed(*session.group(*_PATH)) if known else ():
        if known in service.get("interfaceEndpoints", ()):
            path = session.group(*_PATH, str(service["id"]), "endpoint", str(known))
            session.api.delete(*path)

            def look(path: tuple[str, ...] = path) -> tuple[str, bool]:
                found = session.api.find(*path)
                return ("gone", True) if found is None else (str(found["connectionStatus"]), False)

            wait(session, f"private endpoint {known}", look, "5 min", "")
    if known:
        session.aws().delete_endpoint(known)
    session.journal.forget(ENDPOINT, note)


def _remove_service(session: Session) -> None:
    note = key(session.wanted)
    found = Found(services=session.api.listed(*session.group(*_PATH)))
    service = service_of(session.wanted, found)
    if service is not None and session.journal.ours(SERVICE, note, str(service["id"])):
        path = session.group(*_PATH, str(service["id"]))
        try:
            session.api.delete(*path)
        except AtlasError as error:
            if error.status not in {400, 409}:
                raise
            session.journal.forget(SERVICE, note)  # others have endpoints there: it stays for them
            return

        def look() -> tuple[str, bool]:
            there = session.api.find(*path)
            return ("gone", True) if there is None else (str(there["status"]), False)

        wait(session, f"private service {session.wanted.region}", look, "5 min", "")
    session.journal.forget(SERVICE, note)
