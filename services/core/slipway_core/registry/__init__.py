"""The model registry: its content, its operations, and the promotion of versions."""

from slipway_core.registry.base import PRODUCTION, STAGING, ModelVersion, RegisteredModel, Registry

__all__ = ["PRODUCTION", "STAGING", "ModelVersion", "RegisteredModel", "Registry"]
