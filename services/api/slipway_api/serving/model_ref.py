"""References to served models: `iris` follows the alias Production, `iris@Staging` another one, `iris@7` is pinned."""

import re
from typing import NamedTuple, Self

from slipway_core.registry import PRODUCTION

VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}")
HOW_TO_WRITE = "write a model's name, or name@number for one of its versions, such as iris@7"


class ModelRef(NamedTuple):
    """A reference to a served model.

    Attributes:
        version: the pinned version number as text; None to follow the alias.
        alias: the alias to follow, unless a version is pinned.
    """

    name: str
    version: str | None = None
    alias: str = PRODUCTION

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

    @property
    def is_production(self) -> bool:
        """Whether the reference follows the alias Production."""
        return self.version is None and self.alias == PRODUCTION

    @property
    def is_beside(self) -> bool:
        """Whether the reference follows an alias beside Production: Staging, or that of a candidate."""
        return self.version is None and self.alias != PRODUCTION

    def __str__(self) -> str:
        return self.name if self.is_production else f"{self.name}@{self.version or self.alias}"
