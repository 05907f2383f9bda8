"""Send wrong passwords over many connections, each for a different name and from a different address."""

import sys
from collections import Counter

from benchmarks.hot_path.client import load, request

ATTEMPTS = 1_000
CONNECTIONS = 32


def attempts(seed: int) -> list[bytes]:
    """Return requests with unique names, and unique client addresses in X-Forwarded-For."""
    made = []
    for number in range(seed * ATTEMPTS, (seed + 1) * ATTEMPTS):
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        }
        made.append(request("/token", f"username=user{number}&password=wrong-{number}".encode(), headers))
    return made


if __name__ == "__main__":
    port, seed = (int(argument) for argument in sys.argv[1:])
    print(Counter(load(port, attempts(seed), CONNECTIONS, count=ATTEMPTS).statuses))
