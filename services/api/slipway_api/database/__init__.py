"""Slipway's own database, as the accounts and the prediction log use it."""
