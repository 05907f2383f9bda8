"""The model registry: its content, its operations, and the promotion of versions."""

from slipway_core.registry.base import PRODUCTION, ModelVersion, RegisteredModel, Registry

__all__ = ["PRODUCTION", "ModelVersion", "RegisteredModel", "Registry"]
