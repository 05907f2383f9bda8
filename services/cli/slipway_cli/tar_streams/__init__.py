"""Tar streams that the host and the jobs inside the stack exchange, one file at a time."""
