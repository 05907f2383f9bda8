"""The stack of docker compose: the one-shot jobs that run in it, and its backup, which is made from outside."""
