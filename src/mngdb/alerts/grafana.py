"""Two dashboards for Grafana: the whole stack, and each engine from near. What they show stands in
`grafana.yaml`; here panels are chosen, placed and written as Grafana imports them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypedDict

from mngdb.alerts.prometheus import STACK
from mngdb.data import values
from mngdb.spec.engine_info import ENGINE_INFO


class Panel(TypedDict, total=False):
    """One chart, as the file has it. `unit` is Grafana's name of it."""

    title: str
    needs: str
    """The subject of rules that the stack has to have."""
    type: str
    """`stat`; else a time series."""
    width: int
    unit: str
    colours: dict[str, float | None]
    """Of a stat: from which value on. Without, Grafana's own: red from 80."""
    queries: dict[str, str]
    """Legend to PromQL."""


_WIDTH, _HEIGHT = 24, 8


def panels() -> dict[str, list[Panel]]:
    """The panels of the overview, and of each engine by its name."""
    found: dict[str, list[Panel]] = values(__file__)
    return found


def dashboards(stack: str, engines: Collection[str], *, agent: bool) -> dict[str, str]:
    """File name to content, for the engines that are measured; `agent`: and the machine. Each asks
    for its data source when it is imported."""
    shown = panels()
    overview = [
        panel
        for panel in shown["overview"]
        if panel["needs"] in engines or (agent and panel["needs"] not in ENGINE_INFO)
    ]
    near: list[Panel | str] = []
    chosen = [info for info in ENGINE_INFO.values() if info.name in engines]
    for info in chosen:
        near += [info.title, *shown.get(info.name, ())]
    names = "|".join(f"{info.metrics.prefix}_up" for info in chosen)
    return {
        "mngdb-overview.json": _dashboard(stack, "overview", overview),
        "mngdb-engines.json": _dashboard(
            stack, "engines", near, f'{{__name__=~"{names}", {STACK}="{stack}"}}'
        ),
    }


def _dashboard(stack: str, about: str, panels: Sequence[Panel | str], chosen: str = "") -> str:
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
        "title": f"{stack}: {about}",
        # the same one when it is imported again; Grafana takes 40 characters
        "uid": hashlib.sha256(f"mngdb {stack} {about}".encode()).hexdigest()[:40],
        "tags": ["mngdb"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": list(_placed(panels, stack)),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _placed(panels: Iterable[Panel | str], stack: str) -> Iterator[dict[str, Any]]:
    """Panels of a stack from left to right, rows with a title between them."""
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        if isinstance(panel, str):
            x, y, height = 0, y + height, 0
            place = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
            yield {"id": number, "type": "row", "title": panel, "gridPos": place, "panels": []}
            y += 1
            continue
        stat = panel.get("type") == "stat"
        wide, tall = panel.get("width", 8), _HEIGHT // 2 if stat else _HEIGHT
        if x + wide > _WIDTH:
            x, y, height = 0, y + height, 0
        place = {"x": x, "y": y, "w": wide, "h": tall}
        x, height = x + wide, max(height, tall)
        yield {
            "id": number,
            "type": panel.get("type", "timeseries"),
            "title": panel["title"],
            "gridPos": place,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "fieldConfig": {"defaults": _shown(panel), "overrides": []},
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "expr": query.replace("$stack", stack),
                    "legendFormat": legend,
                    # the last value of a range may be one of hours ago
                    **({"instant": True, "range": False} if stat else {}),
                }
                for index, (legend, query) in enumerate(panel["queries"].items())
            ],
        }


def _shown(panel: Panel) -> dict[str, Any]:
    """How values are written, and in which colours."""
    colours = panel.get("colours", {})
    steps = [{"color": colour, "value": at} for colour, at in colours.items()]
    coloured = {"thresholds": {"mode": "absolute", "steps": steps}} if steps else {}
    return {"unit": panel["unit"], "min": 0, **coloured}
