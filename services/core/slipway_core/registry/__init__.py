"""The model registry: what it holds, what may be asked of it, and how a version is promoted."""

from slipway_core.registry.base import PRODUCTION, ModelVersion, RegisteredModel, Registry

__all__ = ["PRODUCTION", "ModelVersion", "RegisteredModel", "Registry"]
