"""The compose stack: its one-shot jobs, and what its containers are told."""
