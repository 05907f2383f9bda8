"""Explain why PostgreSQL rejected a connection, and how to fix it."""

import re
from collections.abc import Mapping

# Patterns of messages, because these errors have no code. `{variable}` is the variable with the database's URL.
CONNECTION_ERRORS: Mapping[str, tuple[str, str]] = {
    "could not translate host name": (
        "the name of the database's host does not resolve",
        "correct the host in {variable}",
    ),
    "connection refused": (
        "no server listens on the database's host and port",
        "start PostgreSQL, or correct the host and port in {variable}",
    ),
    "timeout expired": (
        "the database's host does not respond in time",
        "check the host in {variable}, and that no firewall drops the packets",
    ),
    "password authentication failed": (
        "PostgreSQL rejects the user name or the password",
        "correct USER:PASSWORD in {variable}; special characters must be percent-encoded (%XX)",
    ),
    "no password supplied": ("PostgreSQL requires a password", "add it to {variable}: postgresql://USER:PASSWORD@…"),
    r"no pg_hba\.conf entry": (
        "PostgreSQL does not allow connections from this host or account",
        "add them to the server's pg_hba.conf; if it requires TLS, add ?sslmode=require to {variable}",
    ),
    'role ".*" does not exist': (
        "the account does not exist in PostgreSQL",
        "create it with `createuser` on the server, or correct {variable}",
    ),
    'database ".*" does not exist': (
        "the database does not exist in PostgreSQL",
        "create it with `createdb` on the server, or correct {variable}",
    ),
}


def explain_connection_error(message: str, variable: str) -> tuple[str, str]:
    """Return the problem and how to fix it. The message is not repeated, because it may name hosts and accounts.

    Args:
        message: the driver's message.
        variable: the environment variable with the database's URL.
    """
    for pattern, (what, mend) in CONNECTION_ERRORS.items():
        if re.search(pattern, message, re.IGNORECASE):
            return what, mend.format(variable=variable)
    return "PostgreSQL rejects the connection", f"see its log, and check {variable}"
