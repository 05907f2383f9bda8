"""One model version, loaded and ready to answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slipway_api.serving.model_ref import ModelRef
from slipway_core.bundle import Manifest
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, Outputs, RunOptions
from slipway_core.signature import FloatMatrix, Signature

ROUNDING = 1e-3


@dataclass(frozen=True)
class ServedModel:
    """A verified and warmed-up model version.

    Attributes:
        manifest_sha256: the digest that the bundle was verified against.
        loaded_at: when it was ready, UTC.
        source: `registry` if the registry named this version, `cache` if it could not be asked.
        verified: whether it came as a bundle with digests and golden rows that it was held against.
        pinned: whether the settings name this very version; else it is served by the alias Production.
        inline_rows: how many rows it predicts so fast that the event loop can run it; more go to the pool.
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
    pinned: bool = False
    verified: bool = True
    inline_rows: int = 0

    @property
    def ref(self) -> ModelRef:
        """What it is served as."""
        return ModelRef(self.name, self.version if self.pinned else None)

    def answer(self, matrix: FloatMatrix, options: RunOptions | None = None) -> Outputs:
        """Run the graph on an (n_rows, n_features) float32 matrix; probabilities are clipped to [0, 1].

        Values that are not finite are passed on: it may be the input that has no answer.

        Args:
            matrix: the rows.
            options: of a run that another thread may terminate.

        Raises:
            BundleError: the graph fails, or answers what the manifest rules out: another number of rows, a class or
                probabilities that there cannot be.
        """
        outputs = self.graph.run(matrix) if options is None else self.graph.run(matrix, options)
        prediction, scores, classes = outputs.prediction, outputs.scores, self.manifest.classes
        if len(prediction) != len(matrix):
            raise BundleError(f"the graph gives {len(prediction)} predictions for {len(matrix)} rows")
        if classes is None:
            return outputs
        if not isinstance(scores, np.ndarray) or scores.shape != (len(matrix), len(classes)):
            raise BundleError(f"the graph gives no probabilities for the manifest's {len(classes)} classes")
        if not len(matrix):
            return outputs
        lowest, highest = _extremes(prediction)
        if prediction.dtype.kind != "i" or not (lowest >= 0 and highest < len(classes)):
            raise BundleError(f"the graph gives a class that is not one of the manifest's {len(classes)}")
        least, most = _extremes(scores)
        # Sums of float32 end a hair beyond; what ends further beyond is no probability.
        if (least < -ROUNDING or most > 1 + ROUNDING) and np.isfinite(scores).all():
            raise BundleError("the graph gives scores that are no probabilities")
        return Outputs(prediction, np.clip(scores, 0, 1)) if least < 0 or most > 1 else outputs


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    if len(values) == 1:  # of one row, Python's own are found before numpy has begun
        few = values.ravel().tolist()
        return min(few), max(few)
    return values.min(), values.max()
