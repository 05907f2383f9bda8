"""How settings, health and logs name what is served: `iris` follows Production, `iris@7` is that version for good."""

import re
from typing import NamedTuple, Self

VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}")
HOW_TO_WRITE = "write a model's name, or name@number for one of its versions, such as iris@7"


class ModelRef(NamedTuple):
    """A model that is served.

    Attributes:
        version: None for the one that Production points to, whichever that is; else a whole number as text.
    """

    name: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name` or `name@number`.

        Raises:
            ValueError: it is written otherwise; the message says how to.
        """
        name, at, version = text.rpartition("@")
        if not at and version:
            return cls(version)
        if not (name and name.strip() == name and VERSION_PATTERN.fullmatch(version)):
            raise ValueError(f"{text!r} names no model: {HOW_TO_WRITE}")
        return cls(name, version)

    @property
    def is_pinned(self) -> bool:
        """Whether one version is served for good."""
        return self.version is not None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"
