"""How Atlas refuses: https://www.mongodb.com/docs/atlas/reference/api-errors/"""

from __future__ import annotations

from typing import Any

#: The version of the API whose resources these are.
MEDIA_TYPE = "application/vnd.atlas.2025-03-12+json"

_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    406: "Not Acceptable",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class AtlasError(Exception):
    """An answer that refuses."""

    def __init__(self, status: int, code: str, detail: str, *parameters: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.parameters = status, code, detail, parameters

    @property
    def document(self) -> dict[str, Any]:
        """The body: ApiError."""
        return {
            "detail": self.detail,
            "error": self.status,
            "errorCode": self.code,
            "parameters": list(self.parameters),
            "reason": _REASONS.get(self.status, "Error"),
        }


def missing(code: str, kind: str, name: str, group: str) -> AtlasError:
    """Nothing of that name is in the project."""
    return AtlasError(404, code, f"No {kind} {name} exists in group {group}.", name, group)


def invalid(attribute: str, detail: str) -> AtlasError:
    """A value that Atlas does not take."""
    return AtlasError(
        400, "INVALID_ATTRIBUTE", f"Invalid attribute {attribute} specified: {detail}", attribute
    )
