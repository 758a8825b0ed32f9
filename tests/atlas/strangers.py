"""What others have in an Atlas: chance makes it look like what a stack makes, or nearly so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.atlas.client import cluster
from tests.atlas.inside import Inside
from tests.atlas.world import Document

#: Names that the stack's own things have, and others near them.
LOGINS = ("shop", "shop.2", "report", "mngdb-admin", "mngdb", "Shop", "shop/2", "shop@x")
ROLES = ("mngdb-shop", "mngdb-report", "mngdb-", "mngdb-shopping", "shop")
CLUSTERS = ("chat-mongo", "main", "chat", "chat-mongo2", "restored-0badcafe-chat-mongo")
PLACES = ("203.0.113.1/32", "203.0.113.0/24", "10.20.0.0/16", "198.51.100.7/32")
VPCS = ("vpc-00000000000000001", "vpc-00000000000000002")
REGION = "AP_NORTHEAST_2"
_BUILT_IN = ("atlasAdmin", "read", "readWriteAnyDatabase")
_SOON = 3 * 86_400.0


@dataclass
class Strangers:
    """Makes things in projects; `mark` is the stack's own, which nobody else has."""

    inside: Inside
    chance: Random
    mark: str

    def marks(self) -> list[Document]:
        """Tags or labels: none, or some that are not the stack's."""
        name, _, known = self.mark.partition("/")
        near = (f"{name}/", f"{name}/{known[:-1]}", f"{self.mark}0", f"{known}/{name}", name, "")
        found = [{"key": "mngdb-stack", "value": self.chance.choice(near)}]
        others = [{"key": "team", "value": self.mark}, {"key": "mngdb", "value": self.mark}]
        return self.chance.choice((found, found, found + others, others, []))

    def comment(self) -> str:
        near = (f"mngdb {self.mark}0: office", f"mngdb{self.mark}", f"{self.mark}: office")
        return self.chance.choice((*near, "mngdb", "mngdb chat/: office", "office", ""))

    def project(self, name: str) -> str:
        """A project of that name; its id."""
        for one in self.inside.world.projects.values():
            if one.document["name"] == name:
                return one.id
        asked: Document = {"name": name, "orgId": self.inside.organization}
        asked["tags"] = self.marks()
        asked["withDefaultAlertsSettings"] = self.chance.random() < 0.5
        return str(self.inside.ask("POST", "/groups", asked)["id"])

    def add(self, project: str, kinds: tuple[str, ...]) -> None:
        """A few things of these kinds. What Atlas refuses there is none of."""
        for _ in range(self.chance.randint(0, 6)):
            kind = self.chance.choice(kinds)
            getattr(self, kind)(project)
            self.inside.settle()

    def _post(self, path: str, body: Any) -> Any:
        return self.inside.ask("POST", path, body)

    def user(self, project: str) -> None:
        held = [*_BUILT_IN, *self.inside.world.projects[project].roles]
        roles = [{"roleName": self.chance.choice(held), "databaseName": "admin"}]
        user: Document = {"databaseName": "admin", "username": self.chance.choice(LOGINS)}
        scopes = [{"name": one, "type": "CLUSTER"} for one in self.some(CLUSTERS)]
        user |= {"groupId": project, "roles": roles, "scopes": scopes, "labels": self.marks()}
        user |= {"description": "made by mngdb for the stack chat", "password": "of-somebody-else"}
        self._post(f"/groups/{project}/databaseUsers", user)

    def role(self, project: str) -> None:
        right = {"role": self.chance.choice(("readWrite", "read", "dbAdmin")), "db": "chatdb"}
        body = {"roleName": self.chance.choice(ROLES), "inheritedRoles": [right]}
        self._post(f"/groups/{project}/customDBRoles/roles", body)

    def cluster(self, project: str) -> None:
        name, protected = self.chance.choice(CLUSTERS), self.chance.random() < 0.5
        body = cluster(name, terminationProtectionEnabled=protected, tags=self.marks())
        if self._post(f"/groups/{project}/clusters", body) and self.chance.random() < 0.5:
            self.inside.settle()
            path = f"/groups/{project}/clusters/{name}/backup"
            self._post(f"{path}/snapshots", {"description": f"mngdb backup of {self.mark}0"})

    def entry(self, project: str) -> None:
        body = {"cidrBlock": self.chance.choice(PLACES), "comment": self.comment()}
        if body["cidrBlock"] in self.inside.world.projects[project].access:
            return  # it would be changed
        if self.chance.random() < 0.3:
            end = self.inside.world.now().timestamp() + _SOON
            body["deleteAfterDate"] = self.inside.stamp(end)
        self._post(f"/groups/{project}/accessList", [body])

    def alert(self, project: str) -> None:
        """Also the very one that `up` makes."""
        metric = self.chance.choice(("NORMALIZED_SYSTEM_CPU_USER", "CONNECTIONS_PERCENT"))
        threshold: Document = {"metricName": metric, "operator": "GREATER_THAN", "mode": "AVERAGE"}
        threshold |= {"threshold": self.chance.choice((80.0, 95.0)), "units": "RAW"}
        body: Document = {
            "enabled": self.chance.random() < 0.5,
            "eventTypeName": "OUTSIDE_METRIC_THRESHOLD",
            "metricThreshold": threshold,
            "notifications": [
                {"typeName": "GROUP", "roles": ["GROUP_OWNER"], "emailEnabled": True}
            ],
        }
        if self.chance.random() < 0.3:
            del body["metricThreshold"]
            body["eventTypeName"] = "CPS_SNAPSHOT_FAILED"
        self._post(f"/groups/{project}/alertConfigs", body)

    def service(self, project: str) -> None:
        body = {"providerName": "AWS", "region": self.chance.choice((REGION, "EU_WEST_1"))}
        made = self._post(f"/groups/{project}/privateEndpoint/endpointService", body)
        self.inside.settle()
        if made and self.chance.random() < 0.5:
            path = f"/groups/{project}/privateEndpoint/AWS/endpointService/{made['id']}"
            name = self.inside.ask("GET", path)["endpointServiceName"]
            vpc, mark = self.chance.choice(VPCS), self.chance.choice((f"{self.mark}0", ""))
            self._post(f"{path}/endpoint", {"id": self.inside.ec2.add(vpc, name, mark, [])})

    def peer(self, project: str) -> None:
        block = self.chance.choice(("192.168.248.0/21", "10.8.0.0/21"))
        path = f"/groups/{project}/containers"
        body = {"providerName": "AWS", "regionName": REGION, "atlasCidrBlock": block}
        made = self._post(path, body)
        if made is None:
            return
        peer = {"providerName": "AWS", "containerId": made["id"]}
        peer |= {"accepterRegionName": "ap-northeast-2", "awsAccountId": "123456789012"}
        peer |= {"vpcId": self.chance.choice(VPCS), "routeTableCidrBlock": "10.20.0.0/16"}
        self._post(f"/groups/{project}/peers", peer)

    def some(self, every: tuple[str, ...]) -> list[str]:
        """Some of them, in any order."""
        return self.chance.sample(every, self.chance.randint(0, len(every)))


def everything(inside: Inside) -> dict[str, str]:
    """All that there is, by its path. What Atlas itself changes with another's is left out."""
    found: dict[str, Any] = {}
    for project in inside.world.projects.values():
        at = f"/groups/{project.id}"
        found[at] = project.document
        for (base, name), user in project.users.items():
            path = f"{at}/databaseUsers/{base}/{name}"
            found[path] = {**user, "password": project.passwords[base, name]}
        for kind, things in (
            ("customDBRoles/roles", project.roles),
            ("accessList", project.access),
            ("privateEndpoint/AWS/endpointService", project.services),
            ("peers", project.peers),
            ("alertConfigs", project.alert_configs),
        ):
            found |= {f"{at}/{kind}/{name}": one for name, one in things.items()}
        for service, endpoints in project.endpoints.items():
            path = f"{at}/privateEndpoint/AWS/endpointService/{service}/endpoint"
            found |= {f"{path}/{name}": one for name, one in endpoints.items()}
        for known, one in project.containers.items():
            found[f"{at}/containers/{known}"] = [one["regionName"], one["atlasCidrBlock"]]
        for name, its in project.clusters.items():
            shown = {key: its.document[key] for key in its.document if key != "connectionStrings"}
            path = f"{at}/clusters/{name}"
            found[path] = [shown, its.schedule, its.process_args, its.snapshots, its.restores]
    found |= {f"ec2/endpoint/{name}": one for name, one in inside.ec2.endpoints.items()}
    found |= {f"ec2/route/{at[0]} {at[1]}": to for at, to in inside.ec2.routes.items()}
    return {path: json.dumps(one, sort_keys=True) for path, one in found.items()}
