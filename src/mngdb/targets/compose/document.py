"""docker-compose.yml and the folder's README, from the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from mngdb.container import Container, secret_name
from mngdb.data import text
from mngdb.spec.stack import Instance, Stack
from mngdb.targets.compose import certificates
from mngdb.targets.compose.part import Part
from mngdb.targets.compose.services import labelled

_HEAD = """\
# {stack}: written by mngdb from mngdb.yaml. `docker compose up -d` here starts it, also without
# mngdb; `mngdb up` beside mngdb.yaml rewrites this file and updates the running servers.
"""

_METRICS = """ Prometheus joins `{stack}-metrics`
({places}); `mngdb render prometheus` has its configuration."""

_PAGE = """
RedisInsight is at {url}, for people of the realm
{issuer}. Its login and its routes are configured in `web/`; without them, or without the realm, it
is closed.
"""


def compose(project: str, stack: str, whole: Part) -> str:
    """docker-compose.yml."""
    document: dict[str, Any] = {
        "name": project,
        "services": labelled(whole.services),
        "networks": dict(whole.networks),
        "volumes": dict(whole.volumes),
        "secrets": {name: {"file": f"./secrets/{name}"} for name in whole.secrets},
    }
    return _HEAD.format(stack=stack) + _text(document)


def returned(text: str, before: str, service: str) -> str:
    """The document `text` with one service, and what it names, as in the document `before`."""
    now, then = yaml.safe_load(text), yaml.safe_load(before)
    for kind in ("networks", "volumes", "secrets"):
        now[kind] = {**then.get(kind, {}), **now.get(kind, {})}
    if service in then["services"]:
        now["services"][service] = then["services"][service]
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    return head + _text(now)


def _text(document: Mapping[str, Any]) -> str:
    return yaml.dump(
        {key: value for key, value in document.items() if value},
        Dumper=_Dumper,
        sort_keys=False,
        width=100,
        allow_unicode=True,
    )


def readme(
    stack: Stack,
    instances: Sequence[Instance],
    containers: Sequence[Container],
    exporters: Sequence[str],
) -> str:
    """README.md of the instances that live here, in `containers`; `exporters` are HOST:PORT."""
    rows = [
        f"| {what} | `docker exec -it {one.unit} {command}` |".replace(
            "{secret}", f"secrets/{secret_name(one.name, 'admin')}"
        )
        for one, container in zip(instances, containers, strict=True)
        for what, command in container.prompts
    ]
    places = ", ".join(f"`{place}`" for place in exporters)
    page, sso = stack.source.redisinsight, stack.source.sso
    said = ""
    if stack.insight and page is not None and sso is not None:
        said = _PAGE.format(url=page.url, issuer=sso.issuer)
    encrypted = any(one.tls for one in instances)
    return text(__file__, "readme.md").format(
        stack=stack.name,
        rows="\n".join(rows),
        metrics=_METRICS.format(stack=stack.name, places=places) if places else "",
        page=said,
        encrypted=text(__file__, "readme_encrypted.md").format(ca=certificates.SEEN.ca)
        if encrypted
        else "",
    )


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, nothing by reference: for people to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _lines(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _lines)
