"""One model version, loaded and ready to answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from slipway_core.bundle import Manifest
from slipway_core.graph import Graph
from slipway_core.signature import Signature


@dataclass(frozen=True)
class ServedModel:
    """A verified and warmed-up model version.

    Attributes:
        manifest_sha256: the digest that the bundle was verified against.
        loaded_at: when it was ready, UTC.
        source: `registry` if the registry named this version, `cache` if it could not be asked.
    """

    name: str
    version: str
    manifest: Manifest
    manifest_sha256: str
    graph: Graph
    signature: Signature
    run_id: str
    description: str
    loaded_at: datetime
    source: Literal["registry", "cache"]
