"""Processes, their measurements, and the Performance Advisor: from the real server's log."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

from fastapi import APIRouter, Request

from tests.atlas.errors import missing
from tests.atlas.mongod import Cluster
from tests.atlas.world import (
    CLUSTER,
    GROUP,
    ClusterOf,
    Document,
    Project,
    ProjectOf,
    WorldOf,
    choice,
    page,
)

router = APIRouter()
PROCESS = GROUP + "/processes/{process_id}"
#: Databases that are no app's.
_OWN = re.compile(r"(admin|config|local)\.|.*\.(system\.|\$)")


@router.get(GROUP + "/processes")
async def processes(project: ProjectOf, world: WorldOf, request: Request) -> Document:
    found = []
    for cluster in project.clusters.values():
        if cluster.mongod.client is None:
            continue
        server, now = cluster.mongod, world.stamp()
        one = {
            "id": server.host,
            "hostname": "127.0.0.1",
            "port": server.port,
            "groupId": project.id,
        }
        one |= {"created": cluster.document["createDate"], "lastPing": now, "links": []}
        one |= {"replicaSetName": server.replica_set, "typeName": "REPLICA_PRIMARY"}
        one |= {"version": cluster.document["mongoDBVersion"], "userAlias": server.host}
        found.append(one)
    return page(found, request)


def _process(process_id: str, project: Project) -> Cluster:
    for cluster in project.clusters.values():
        if cluster.mongod.host == process_id:
            return cluster
    raise missing("HOST_NOT_FOUND", "host", process_id, project.id)


@router.get(PROCESS + "/measurements")
async def measurements(
    process_id: str, project: ProjectOf, world: WorldOf, request: Request
) -> Document:
    _process(process_id, project)
    now = world.stamp()
    found = [
        {
            "name": name,
            "units": "SCALAR",
            "dataPoints": [{"timestamp": now, "value": world.measured.get(name)}],
        }
        for name in request.query_params.getlist("m") or sorted(world.measured)
    ]
    common = {"groupId": project.id, "hostId": process_id, "processId": process_id, "links": []}
    granularity = request.query_params.get("granularity", "PT1M")
    return {**common, "granularity": granularity, "start": now, "end": now, "measurements": found}


# --- slow queries


def _slow(cluster: Cluster) -> list[tuple[str, Document]]:
    """Lines of the server's log about slow queries: the line, and what it says."""
    found = []
    for line in cluster.mongod.folder.with_suffix(".log").read_text().splitlines():
        if '"msg":"Slow query"' in line:
            said = json.loads(line)["attr"]
            if not _OWN.match(said["ns"]):
                found.append((line, said))
    return found


@router.get(PROCESS + "/performanceAdvisor/slowQueryLogs")
async def slow_queries(process_id: str, project: ProjectOf, request: Request) -> Document:
    most = int(request.query_params.get("nLogs", 20_000))
    wanted = request.query_params.getlist("namespaces")
    slow = _slow(_process(process_id, project))
    found = [
        {"line": line, "namespace": said["ns"]}
        for line, said in slow
        if not wanted or said["ns"] in wanted
    ]
    return {"slowQueries": found[:most]}


@router.get(PROCESS + "/performanceAdvisor/namespaces")
async def namespaces(process_id: str, project: ProjectOf) -> Document:
    names = sorted({said["ns"] for _, said in _slow(_process(process_id, project))})
    return {"namespaces": [{"namespace": name, "type": "collection"} for name in names]}


@router.get(PROCESS + "/performanceAdvisor/suggestedIndexes")
async def suggested_of_process(process_id: str, project: ProjectOf) -> Document:
    return _suggested(_process(process_id, project))


@router.get(CLUSTER + "/performanceAdvisor/suggestedIndexes")
async def suggested(cluster: ClusterOf) -> Document:
    return _wrapped(_suggested(cluster))


def _wrapped(content: Document) -> Document:
    """What is asked of a cluster comes in an envelope, unlike all else."""
    return {"status": 200, "content": content}


def _suggested(cluster: Cluster) -> Document:
    """An index for each kind of query that read a whole collection slowly."""
    kinds: dict[tuple[str, tuple[str, ...]], list[Document]] = defaultdict(list)
    for _, said in _slow(cluster):
        filtered = said.get("command", {}).get("filter", {})
        fields = tuple(key for key in filtered if not key.startswith("$"))
        if said.get("planSummary") == "COLLSCAN" and fields:
            kinds[said["ns"], fields].append(said)
    shapes, indexes = [], []
    for (namespace, fields), some in kinds.items():
        shape = choice(namespace, *fields).randbytes(12).hex()
        took = sum(one["durationMillis"] for one in some) // len(some)
        scanned = sum(one.get("docsExamined", 0) for one in some)
        returned = sum(one.get("nreturned", 0) for one in some)
        score = scanned // max(returned, 1)
        shapes.append(
            {
                "id": shape,
                "namespace": namespace,
                "avgMs": took,
                "count": len(some),
                "inefficiencyScore": score,
                "operations": [],
            }
        )
        keys = [{name: 1} for name in fields]
        index = {"id": choice(shape).randbytes(12).hex(), "namespace": namespace, "impact": [shape]}
        indexes.append({**index, "index": keys, "weight": float(score), "avgObjSize": 0.0})
    return {"shapes": shapes, "suggestedIndexes": indexes}


@router.get(CLUSTER + "/performanceAdvisor/dropIndexSuggestions")
async def droppable(cluster: ClusterOf) -> Document:
    """Indexes that nobody used since the server started, and those that another one begins with."""
    unused, redundant = cluster.do(_droppable, cluster.mongod.client).result()
    found = {"hiddenIndexes": [], "redundantIndexes": redundant, "unusedIndexes": unused}
    return _wrapped(found)


def _droppable(client: Any) -> tuple[list[Document], list[Document]]:
    unused, redundant = [], []
    for database in client.list_database_names():
        for name in client[database].list_collection_names():
            if _OWN.match(f"{database}.{name}"):
                continue
            indexes = list(client[database][name].aggregate([{"$indexStats": {}}]))
            for one in indexes:
                keys = list(one["key"].items())
                at = {"name": one["name"], "namespace": f"{database}.{name}", "shards": []}
                at |= {"index": [{key: value} for key, value in keys], "sizeBytes": 0}
                at |= {"accessCount": one["accesses"]["ops"]}
                longer = (list(other["key"].items()) for other in indexes if other is not one)
                if one["name"] == "_id_":
                    continue
                if any(other[: len(keys)] == keys for other in longer):
                    redundant.append(at)
                elif not one["accesses"]["ops"]:
                    unused.append(at)
    return unused, redundant


@router.get(CLUSTER + "/performanceAdvisor/schemaAdvice")
async def schema_advice(cluster: ClusterOf) -> Document:
    return _wrapped({"recommendations": []})
