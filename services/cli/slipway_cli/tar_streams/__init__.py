"""Tar streams between the host and the jobs inside the stack, one file at a time."""
