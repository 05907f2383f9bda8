"""Users, roles, passwords, tokens, logins."""
