"""Commands that a user pastes into a terminal: a token, and a prediction."""

import shlex

# Prints the password of the first administrator of the compose stack.
COMPOSE_PASSWORD = "docker compose exec -T api cat /run/slipway/admin-password"  # noqa: S105  # a command
# Reads a password from the terminal without showing it; paste it alone, because it would read the next line.
READ_PASSWORD = "read -rs PASSWORD"  # noqa: S105  # a command
PASSWORD_THAT_WAS_READ = 'printf %s "$PASSWORD"'  # noqa: S105  # a command


def password_from(file: str) -> str:
    """Return the command that prints a password from a file, without the line break."""
    return f"tr -d '\\n' < {shlex.quote(file)}"


def request_commands(url: str, model: str, features: str, *, username: str, password: str) -> str:
    """Return the commands that get a token and request a prediction, indented by two spaces.

    Args:
        url: the API's address.
        model: the model's name.
        features: the features of one row, as JSON.
        username: the user who logs in.
        password: the command that prints the user's password.
    """
    body = shlex.quote(f'{{"features": {features}}}')
    return (
        f"  TOKEN=$({password} | curl -s {url}/token -d username={shlex.quote(username)} \\\n"
        '    --data-urlencode password@- | sed \'s/.*"access_token":"\\([^"]*\\)".*/\\1/\')\n'
        f'  curl -s {url}/models/{model}/predict -H "Authorization: Bearer $TOKEN" \\\n'
        f'    -H "Content-Type: application/json" -d {body}'
    )
