"""The one-shot jobs of the compose stack: its secrets, and what it needs before the first prediction."""
