"""The trainer: from data to a registered, gated and promoted model version."""
