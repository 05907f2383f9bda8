"""Send requests to servers, identify them, and compare their clocks."""

import re
import time
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx

from slipway_cli.doctor.findings import Finding, broken, ok
from slipway_core.registry.mlflow import LOOPBACK

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 4.0
MAX_CLOCK_SECONDS = 30.0

Kind = Literal["api", "mlflow", "page", "other", "silent"]


def open_client(url: str, username: str | None = None, password: str | None = None) -> httpx.Client:
    """Return a client of a server. As everywhere in Slipway, connections to this machine use no proxy.

    Raises:
        httpx.InvalidURL: the URL is invalid.
    """
    base_url = httpx.URL(url)
    return httpx.Client(
        base_url=base_url,
        auth=(username, password or "") if username else None,
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        trust_env=base_url.host not in LOOPBACK,
    )


def kind_of(client: httpx.Client) -> Kind:
    """Return the kind of server: Slipway's API, MLflow, a web page, another server, or one that does not speak HTTP."""
    try:
        version = client.get("/version")
        if version.is_success and re.fullmatch(r"\d+\.\d+\S*", version.text.strip()):
            return "mlflow"
        welcome = client.get("/")
    except httpx.HTTPError:
        return "silent"
    if json_object(welcome).get("service") == "slipway":
        return "api"
    return "page" if "html" in welcome.headers.get("content-type", "") else "other"


def json_object(response: httpx.Response) -> dict[str, object]:
    """Return the JSON object of a response; an empty one if the response is something else."""
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def compare_clocks(response: httpx.Response, whose: str, sent_at: float) -> Finding | None:
    """Compare this machine's clock with the `Date` of a response (RFC 9110, 6.6.1); None if it has none.

    Args:
        response: a new response.
        whose: the name of the server, such as `the registry`.
        sent_at: when the request was sent, in seconds since the epoch.
    """
    try:
        there = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    # The header has whole seconds, and was written between the request and now.
    now = time.time()
    apart = now - there if there < sent_at else max(0.0, there - now)
    if apart <= MAX_CLOCK_SECONDS:
        return ok("clock", f"agrees with that of {whose}")
    direction = "ahead of" if there < sent_at else "behind"
    return broken(
        "clock",
        f"this machine's clock is {_duration(apart)} {direction} that of {whose}: token and run times will be wrong",
        "synchronize both with network time: `sudo timedatectl set-ntp true`; `timedatectl` shows the state",
    )


def _duration(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{seconds:.0f} seconds"
