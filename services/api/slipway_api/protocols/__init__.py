"""Translate requests and responses between each protocol and a model's feature matrix, with a module per protocol."""
