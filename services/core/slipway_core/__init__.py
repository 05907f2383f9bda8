"""Code that Slipway's services share: errors, settings, logging, the bundle, the registry and the tables."""

__version__ = "0.1.0"
