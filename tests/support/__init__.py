"""Helpers that tests share: bundles, servers, and waiting for a condition."""
