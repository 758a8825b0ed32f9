"""render: the stack as files for other tools."""

from __future__ import annotations

import click

from mngdb.cli.common import Options, common
from mngdb.cli.lazy import Lazy

#: What can be rendered to the module that does it and the line that `--help` shows.
FORMATS: dict[str, tuple[str, str]] = {
    "prometheus": ("render_alerts", "Scrape configuration and alert rules."),
    "alertmanager": ("render_alerts", "Routes and receivers of alerts."),
    "grafana": ("render_alerts", "Two dashboards."),
    "runbooks": ("render_runbooks", "Recovery playbook and operational checklist."),
    "ci": ("render_ci", "An app's variables for GitHub Actions or GitLab CI, secrets by name."),
    "iam": ("render_iam", "Least-privilege policies for AWS Secrets Manager."),
    "systemd": ("render_systemd", "The unit that starts the stack at boot."),
    "sudoers": ("render_sudoers", "The rule that lets the file's team work with the stack."),
    "preset": ("render_preset", "What software gets in Redis by 'for: NAME'."),
    "compose": ("render_compose", "A folder for `docker compose up -d`."),
}


@click.group(cls=Lazy, table=FORMATS)
@common
def render(_: Options) -> None:
    """Write the stack as files for other tools."""
