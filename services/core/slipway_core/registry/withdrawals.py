"""Versions that a rollback withdrew, and other versions with the same graph."""

import json

from slipway_core.registry.base import ModelVersion, Registry

MODEL_DIGEST_TAG = "slipway.model_sha256"
WITHDRAWN_TAG = "slipway.withdrawn"
# In the tag's JSON: the rollback restored the named version, which has the same graph.
GRAPH_KEPT = "graph_kept_by"


def is_withdrawn(version: ModelVersion) -> bool:
    """Return whether a version was withdrawn by a rollback and not promoted by hand since."""
    return WITHDRAWN_TAG in version.tags


def withdrawals(registry: Registry, version: ModelVersion) -> list[ModelVersion]:
    """Return the withdrawn versions that prevent automatic promotion of a version: itself, and those with its graph.

    A rollback between two versions with the same graph withdraws only the version, because its graph is still served.
    """
    graph = graph_of(version)
    return [
        other
        for other in registry.list_versions(version.name)
        if is_withdrawn(other)
        and (
            other.version == version.version
            or (graph is not None and graph_of(other) == graph and _graph_withdrawn(other))
        )
    ]


def graph_of(version: ModelVersion) -> str | None:
    """Return the digest of a version's graph; None if its tag is missing."""
    return version.tags.get(MODEL_DIGEST_TAG)


def _graph_withdrawn(version: ModelVersion) -> bool:
    try:
        note = json.loads(version.tags[WITHDRAWN_TAG])
    except (ValueError, RecursionError):
        return True
    return not (isinstance(note, dict) and GRAPH_KEPT in note)
