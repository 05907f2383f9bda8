"""Signing keys, signed versions, and promotions with them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, digest
from slipway_core.registry.base import Registry
from slipway_core.registry.events import PromotionEvent
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.registry.promotion import promote
from slipway_core.registry.sign_existing import sign_bundle
from slipway_core.signing import Signer, TrustedKeys
from slipway_core.signing.files import read_signer
from slipway_core.signing.keys import new_private_key
from support.bundles import BIAS, bundle_files, linear_classifier, register


def new_signer() -> Signer:
    return Signer.from_pem(new_private_key().encode())


def trusting(*signers: Signer, events: Signer | None = None) -> TrustedKeys:
    """Return trusted keys: of signers of versions, and of one that may only sign events."""
    keys = [signer.public_key(f"key-{number}") for number, signer in enumerate(signers)]
    return TrustedKeys([*keys, *([events.public_key("api", events_only=True)] if events else [])])


def other_files(name: str = "iris", shift: float = 0.25) -> dict[str, bytes]:
    """Return the files of a bundle with another graph."""
    return bundle_files(name, linear_classifier(BIAS + np.float32(shift)))


def register_signed(
    registry: InMemoryRegistry, signer: Signer, files: dict[str, bytes] | None = None, name: str = "iris"
) -> str:
    """Register and sign a version as the trainer does, and return its number."""
    files = files or bundle_files(name)
    number = register(registry, files, name)
    sign_bundle(registry, registry.get_version(name, number), signer, digest(files[MANIFEST_FILE]))
    return number


def sign_as_is(mlflow_url: str, key: Path, version: str, name: str = "iris") -> None:
    """Sign a version of a real registry without a check of its files, which may be damaged."""
    signer = read_signer(key)
    assert signer is not None
    with MlflowRegistry(mlflow_url) as registry:
        found = registry.get_version(name, version)
        sign_bundle(registry, found, signer, found.tags.get(MANIFEST_TAG, ""))


def promote_signed(registry: Registry, signer: Signer, version: str, name: str = "iris") -> PromotionEvent:
    return promote(registry, name, version, by="ana", at=datetime.now(UTC), reason="better", signer=signer)
