"""Translations between what clients of each protocol send and the matrix that a model takes. A file a protocol."""
