"""The stack of docker compose: what its containers are told."""
