"""The steps of a training run, one file per step: extract → validate → train → evaluate → register → promote."""
