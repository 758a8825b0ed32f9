"""Two dashboards for Grafana: the whole stack, and each engine from near."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from mngdb.alerts.panels import ENGINES, OVERVIEW, Panel

_WIDTH, _HEIGHT = 24, 8
_TITLES = {"postgres": "PostgreSQL", "redis": "Redis", "mongodb": "MongoDB"}
_UP = {"postgres": "pg_up", "redis": "redis_up", "mongodb": "mongodb_up"}


def dashboards(stack: str, engines: Collection[str], *, agent: bool) -> dict[str, str]:
    """File name to content, for the engines that are measured; `agent`: and the machine. Each asks
    for its data source when it is imported."""
    overview = [
        panel for subject, panel in OVERVIEW if subject in engines or (agent and subject not in _UP)
    ]
    near: list[Panel | str] = []
    for engine in _UP:
        if engine in engines:
            near += [_TITLES[engine], *ENGINES[engine]]
    names = "|".join(_UP[engine] for engine in _UP if engine in engines)
    return {
        "mngdb-overview.json": _dashboard(f"{stack}: overview", f"mngdb-{stack}", overview),
        "mngdb-engines.json": _dashboard(
            f"{stack}: engines", f"mngdb-{stack}-engines", near, f'{{__name__=~"{names}"}}'
        ),
    }


def _dashboard(title: str, uid: str, panels: Sequence[Panel | str], chosen: str = "") -> str:
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    ]
    if chosen:
        variables.append(
            {
                "name": "instance",
                "label": "Instance",
                "type": "query",
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "query": f"label_values({chosen}, instance)",
                "refresh": 2,
                "includeAll": True,
                "allValue": ".+",
                "multi": True,
                "current": {"text": "All", "value": "$__all"},
            }
        )
    document = {
        "title": title,
        "uid": uid[:40],
        "tags": ["mngdb"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": list(_placed(panels)),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _placed(panels: Iterable[Panel | str]) -> Iterator[dict[str, Any]]:
    """Panels from left to right, rows with a title between them."""
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        if isinstance(panel, str):
            x, y, height = 0, y + height, 0
            place = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
            yield {"id": number, "type": "row", "title": panel, "gridPos": place, "panels": []}
            y += 1
            continue
        tall = _HEIGHT // 2 if panel.kind == "stat" else _HEIGHT
        if x + panel.width > _WIDTH:
            x, y, height = 0, y + height, 0
        place = {"x": x, "y": y, "w": panel.width, "h": tall}
        x, height = x + panel.width, max(height, tall)
        yield {
            "id": number,
            "type": panel.kind,
            "title": panel.title,
            "gridPos": place,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + index), "expr": expr.promql(), "legendFormat": legend}
                for index, (expr, legend) in enumerate(panel.lines)
            ],
        }
