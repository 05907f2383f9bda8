"""A loaded model version."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from slipway_core.answers import answer, labels_as_text
from slipway_core.graph import Graph, Outputs, RunOptions
from slipway_core.manifest import Manifest
from slipway_core.rows import Rows
from slipway_core.table_signature import AnySignature


@dataclass(frozen=True)
class ServedModel:
    """A verified and warmed-up model version, whichever references point to it.

    Attributes:
        manifest_sha256: the digest that the bundle was verified against.
        loaded_at: when the load ended, UTC.
        source: `registry` if the registry named this version, `cache` if the registry did not respond.
        verified: whether the digests and golden rows of its bundle were checked.
        signature_tag: the version's tag with its signature, for the cache; None if it is not signed.
        inline_rows: how many rows the event loop may run itself; larger requests go to the pool.
    """

    name: str
    version: str
    manifest: Manifest
    manifest_sha256: str
    graph: Graph
    signature: AnySignature
    run_id: str
    description: str
    loaded_at: datetime
    source: Literal["registry", "cache"]
    verified: bool = True
    signature_tag: str | None = None
    inline_rows: int = 0

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The class labels as text; empty for a regressor."""
        return labels_as_text(self.manifest)

    def answer(self, rows: Rows, options: RunOptions | None = None) -> Outputs:
        """Run the graph on rows, as the signature returns them, and check its outputs.

        Args:
            rows: the rows.
            options: run options, for a run that another thread may terminate.

        Raises:
            BundleError: the graph fails, or contradicts the manifest.
        """
        return answer(self.graph, self.manifest, rows, options)
