"""References to served models: `iris` follows the Production alias, `iris@7` is pinned to version 7."""

import re
from typing import NamedTuple, Self

VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}")
HOW_TO_WRITE = "write a model's name, or name@number for one of its versions, such as iris@7"


class ModelRef(NamedTuple):
    """A reference to a served model.

    Attributes:
        version: the pinned version number as text; None to follow the Production alias.
    """

    name: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `name` or `name@number`.

        Raises:
            ValueError: the text is malformed; the message describes the format.
        """
        name, at, version = text.rpartition("@")
        if not at and version:
            return cls(version)
        if not (name and name.strip() == name and VERSION_PATTERN.fullmatch(version)):
            raise ValueError(f"{text!r} is not a model reference: {HOW_TO_WRITE}")
        return cls(name, version)

    @property
    def is_pinned(self) -> bool:
        """Whether the reference is pinned to a version."""
        return self.version is not None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"
