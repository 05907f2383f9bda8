"""The prediction log: writing, shipping, reading."""
