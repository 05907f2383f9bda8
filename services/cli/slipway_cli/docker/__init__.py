"""Find the compose project from the host, call `docker compose`, and read the state of its containers."""
