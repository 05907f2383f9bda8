"""A loaded model version."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slipway_api.serving.model_ref import ModelRef
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, Outputs, RunOptions
from slipway_core.manifest import Manifest, label_text
from slipway_core.rows import Rows
from slipway_core.table_signature import AnySignature

ROUNDING = 1e-3


@dataclass(frozen=True)
class ServedModel:
    """A verified and warmed-up model version.

    Attributes:
        manifest_sha256: the digest that the bundle was verified against.
        loaded_at: when the load ended, UTC.
        source: `registry` if the registry named this version, `cache` if the registry did not respond.
        verified: whether the digests and golden rows of its bundle were checked.
        pinned: whether the settings pin this version; otherwise it is served by its Production alias.
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
    pinned: bool = False
    verified: bool = True
    signature_tag: str | None = None
    inline_rows: int = 0

    @property
    def ref(self) -> ModelRef:
        """The reference that the model is served under."""
        return ModelRef(self.name, self.version if self.pinned else None)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The class labels as text; empty for a regressor."""
        return tuple(map(label_text, self.manifest.classes or ()))

    def answer(self, rows: Rows, options: RunOptions | None = None) -> Outputs:
        """Run the graph on rows, as the signature returns them, and clip probabilities to [0, 1].

        Values that are not finite are returned as they are: the input may cause them.

        Args:
            rows: the rows.
            options: run options, for a run that another thread may terminate.

        Raises:
            BundleError: the graph fails, or contradicts the manifest by the number of rows, an unknown class or invalid
                probabilities.
        """
        outputs = self.graph.run(rows) if options is None else self.graph.run(rows, options)
        prediction, scores, classes = outputs.prediction, outputs.scores, self.manifest.classes
        if len(prediction) != len(rows):
            raise BundleError(f"the graph returns {len(prediction)} predictions for {len(rows)} rows")
        if classes is None:
            return outputs
        if not isinstance(scores, np.ndarray) or scores.shape != (len(rows), len(classes)):
            raise BundleError(f"the graph returns no probabilities for the manifest's {len(classes)} classes")
        if not len(rows):
            return outputs
        lowest, highest = _extremes(prediction)
        if prediction.dtype.kind != "i" or not (lowest >= 0 and highest < len(classes)):
            raise BundleError(f"the graph returns a class that is not one of the manifest's {len(classes)}")
        least, most = _extremes(scores)
        # Sums of float32 may exceed 1 by rounding; a larger excess is an error.
        if (least < -ROUNDING or most > 1 + ROUNDING) and np.isfinite(scores).all():
            raise BundleError("the graph returns scores outside [0, 1]")
        return Outputs(prediction, np.clip(scores, 0, 1)) if least < 0 or most > 1 else outputs


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    if len(values) == 1:  # faster than numpy for one row
        few = values.ravel().tolist()
        return min(few), max(few)
    return values.min(), values.max()
