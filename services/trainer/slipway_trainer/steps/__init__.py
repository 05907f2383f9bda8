"""The steps of a training run, one file a step: extract → validate → train → evaluate → register → promote."""
