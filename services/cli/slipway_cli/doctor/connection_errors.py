"""What PostgreSQL says of a connection that it refuses, and what to do."""

import re
from collections.abc import Mapping

# By patterns of its messages, which carry no code then. `{variable}` is the one that names the database.
REFUSALS: Mapping[str, tuple[str, str]] = {
    "could not translate host name": (
        "the name of the database's host does not resolve",
        "correct the host in {variable}",
    ),
    "connection refused": (
        "nothing listens at the database's host and port",
        "start PostgreSQL, or correct the host and port in {variable}",
    ),
    "timeout expired": (
        "the database's host does not answer in time",
        "check the host in {variable}, and that no firewall drops the packets",
    ),
    "password authentication failed": (
        "PostgreSQL refuses the name or the password",
        "correct USER:PASSWORD in {variable}; odd characters are written as %XX there",
    ),
    "no password supplied": ("PostgreSQL asks for a password", "add it to {variable}: postgresql://USER:PASSWORD@…"),
    r"no pg_hba\.conf entry": (
        "PostgreSQL does not let this host or account in",
        "add them to the server's pg_hba.conf; it may ask for TLS: add ?sslmode=require to {variable}",
    ),
    'role ".*" does not exist': (
        "PostgreSQL has no such account",
        "make it with `createuser` on the server, or correct {variable}",
    ),
    'database ".*" does not exist': (
        "PostgreSQL has no such database",
        "make it with `createdb` on the server, or correct {variable}",
    ),
}


def explain_connection_error(said: str, variable: str) -> tuple[str, str]:
    """Return what is wrong and how to mend it. What PostgreSQL said is not repeated: it may name hosts and accounts.

    Args:
        said: the driver's message.
        variable: the one that names the database.
    """
    for pattern, (what, mend) in REFUSALS.items():
        if re.search(pattern, said, re.IGNORECASE):
            return what, mend.format(variable=variable)
    return "PostgreSQL does not take the connection", f"see its log, and check {variable}"
