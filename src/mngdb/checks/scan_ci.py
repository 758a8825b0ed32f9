"""CI files: what their maps of variables hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from mngdb.checks.scan import Hit, connection
from mngdb.literals import Kind, literal, secret_name

#: What everybody can read who sees the project's settings.
_PUBLIC = re.compile(r"\$\{\{[^}]*\bvars[.\[][^}]*\}\}")


def github(text: str) -> Iterator[Hit]:
    """A workflow of GitHub Actions: `env`, `with` and `secrets` of the workflow, its jobs and their
    steps. What stands for a password in a service, which ends with its job, is none."""
    yield from _ci(text, {"env", "with", "secrets"})


def gitlab(text: str) -> Iterator[Hit]:
    """.gitlab-ci.yml: `variables` of the pipeline and of its jobs."""
    yield from _ci(text, {"variables"})


def included(text: str) -> Iterator[str]:
    """The files of the same project that a .gitlab-ci.yml includes: patterns, from its top."""
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError):
        return  # that it cannot be read is told where it is judged
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value != "include":
            continue
        for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            local = [one] if isinstance(one, yaml.ScalarNode) else []
            if isinstance(one, yaml.MappingNode):
                local = [inner for name, inner in one.value if name.value == "local"]
            yield from (str(found.value).lstrip("/") for found in local)


def _ci(text: str, maps: set[str]) -> Iterator[Hit]:
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark: Any = getattr(error, "problem_mark", None)
        yield Hit("scan.ci-file", mark.line + 1 if mark else 1, "not valid YAML")
        return
    for name, node in _variables(root, maps):
        value = node.value
        public = _PUBLIC.search(value) is not None and "secrets" not in value
        secret = secret_name(name) and (public or literal(value, Kind.CI) is not None)
        if secret or connection(value, Kind.CI):
            yield Hit("scan.ci-plain", node.start_mark.line + 1, f"{name} is a plain value")


def _variables(
    node: yaml.Node | None, maps: set[str], seen: frozenset[int] = frozenset()
) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Every name and value of the mappings that are called so, but those of services, which end
    with their job. Aliases may lead in circles."""
    if node is None or id(node) in seen or len(seen) > 50:
        return
    seen |= {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _variables(one, maps, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in maps and isinstance(value, yaml.MappingNode):
                yield from _scalars(value)
            elif key.value != "services":
                yield from _variables(value, maps, seen)


def _scalars(
    node: yaml.MappingNode, seen: frozenset[int] = frozenset()
) -> Iterator[tuple[str, yaml.ScalarNode]]:
    for key, value in node.value:
        if key.value == "<<" and id(value) not in seen:  # others' variables, merged into these
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for one in merged:
                if isinstance(one, yaml.MappingNode):
                    yield from _scalars(one, seen | {id(value)})
        elif isinstance(value, yaml.ScalarNode):
            yield str(key.value), value
        elif isinstance(value, yaml.MappingNode):  # GitLab: {value: …, description: …}
            for inner, one in value.value:
                if inner.value == "value" and isinstance(one, yaml.ScalarNode):
                    yield str(key.value), one
