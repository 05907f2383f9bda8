"""Which served version of a model a call is for, and its path."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias
from urllib.parse import quote

Stage: TypeAlias = Literal["Production", "Staging"]


@dataclass(frozen=True)
class Target:
    """A served version of a model: the one in Production, or another one.

    Attributes:
        path: the path that describes it; predictions are below it. Empty for the default model of the API.
    """

    path: str

    @classmethod
    def of(
        cls,
        model: str | None = None,
        version: str | None = None,
        candidate: str | None = None,
        stage: str | None = None,
    ) -> Self:
        """Return the target that arguments name; without arguments, the default model.

        Raises:
            ValueError: more than one of version, candidate and stage, one of them without a model, or an unknown stage.
        """
        given = {"version": version, "candidate": candidate, "stage": stage}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise ValueError(f"pass only one of version, candidate and stage, not {' and '.join(named)}")
        if named and model is None:
            raise ValueError(f"pass the model of the {named[0]}, too")
        if stage not in {None, "Production", "Staging"}:
            raise ValueError(f"the stage must be Production or Staging, got {stage!r}")
        path = "" if model is None else f"/models/{quoted(model)}"
        if version is not None:
            path += f"/versions/{quoted(version)}"
        elif candidate is not None:
            path += f"/candidates/{quoted(candidate)}"
        elif stage == "Staging":
            path += "/staging"
        return cls(path)


def quoted(text: str) -> str:
    """Return text as one part of a path."""
    # A name of dots only would change the path.
    return quote(str(text), safe="").replace(".", "%2E")
