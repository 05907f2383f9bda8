"""The embedded stack of `slipway up`: MLflow, the trainer and the API as processes, without Docker."""
