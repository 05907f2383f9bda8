"""The one-shot jobs that run inside the containers of the compose stack, and their settings."""
