"""Load, cache and run models, independently of HTTP."""
