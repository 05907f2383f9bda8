"""Ed25519 signatures of model versions and promotion events: keys, messages, and key files."""

from slipway_core.signing.keys import Purpose, Signer, TrustedKeys

__all__ = ["Purpose", "Signer", "TrustedKeys"]
