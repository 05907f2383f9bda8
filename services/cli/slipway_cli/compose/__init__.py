"""The compose stack: its one-shot jobs, what its containers are told, and its backup, which is made from outside."""
