"""What the file says of the yard, and its record."""

from __future__ import annotations

from mngdb.spec.strict import Model
from mngdb.spec.target_info import TargetInfo

YARD = TargetInfo("yard", "processes in a folder of the stack")


class Yard(Model):
    """Processes in a folder of the stack."""

    account: str | None = None
    """Account that servers run as when root starts them."""
