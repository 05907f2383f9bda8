"""Accounts: users, roles, passwords, tokens and logins. Independent of the web layer."""
