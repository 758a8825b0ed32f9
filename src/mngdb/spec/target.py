"""Where an instance lives, as the file says it: one key for each target there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field, create_model, model_validator

from mngdb.spec.strict import Model
from mngdb.spec.target_info import TARGET_INFO
from mngdb.spec.target_models import TARGETS

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    TargetKeys = Model
else:
    TargetKeys = create_model(
        "TargetKeys",
        __base__=Model,
        **{
            name: (model | None, Field(None, description=model.__doc__))
            for name, model in TARGETS.items()
        },
    )


def _needed(name: str) -> list[str]:
    """The keys that a target cannot do without."""
    return [key for key, info in TARGETS[name].model_fields.items() if info.is_required()]


#: Those whose name says enough.
SHORT = [name for name in TARGETS if not _needed(name)]


class Target(TargetKeys):
    """Where an instance runs: `local`, `compose`, or `{external: {url: …}}`."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str) and value in SHORT:
            return {value: {}}
        if value in [{name: None} for name in SHORT]:
            return {key: {} for key in value}
        if isinstance(value, str):
            long = (
                f"{name}: {{{', '.join(f'{key}: …' for key in _needed(name))}}}"
                for name in TARGETS
                if name not in SHORT
            )
            raise ValueError(  # noqa: TRY004 - pydantic turns only ValueError into its own
                f"unknown target {value!r}; expected one of: {', '.join([*SHORT, *long])}"
            )
        return value

    @model_validator(mode="after")
    def _one(self) -> Target:
        if sum(getattr(self, name) is not None for name in TARGETS) != 1:
            *names, last = TARGETS
            raise ValueError(f"name exactly one of {', '.join(names)} and {last}")
        return self

    @property
    def kind(self) -> str:
        """Which it is: a key of TARGET_INFO."""
        return next(name for name in TARGETS if getattr(self, name) is not None)

    @property
    def settings(self) -> Model:
        """What the file says of it."""
        found: Model = getattr(self, self.kind)
        return found

    def of(self, model: type[M]) -> M | None:
        """What the file says of it, where it is the target that has this model."""
        return self.settings if isinstance(self.settings, model) else None

    @property
    def managed(self) -> bool:
        """Whether the server itself is ours: its settings, its files, its restarts."""
        return TARGET_INFO[self.kind].managed

    @property
    def hosted(self) -> bool:
        """Whether a provider makes and runs the server for us."""
        return TARGET_INFO[self.kind].hosted

    @property
    def here(self) -> bool:
        """Whether servers are processes of this machine."""
        return TARGET_INFO[self.kind].here

    @property
    def contained(self) -> bool:
        """Whether servers are reached by name, in networks of their own."""
        return TARGET_INFO[self.kind].contained

    @property
    def short(self) -> str | dict[str, Any]:
        """As the file may say it of an instance."""
        if self.hosted:
            return {self.kind: self.settings.model_dump(mode="json", exclude_none=True)}
        needed = {key: getattr(self.settings, key) for key in _needed(self.kind)}
        return {self.kind: needed} if needed else self.kind
