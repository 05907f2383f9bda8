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
    """Return a client of a server. As everywhere in Slipway, a proxy is not asked for what is on this machine.

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
    """Return what answers: Slipway's API, MLflow, some page, another server, or nothing that speaks HTTP."""
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
    """Return the JSON object of an answer; an empty one where it is something else."""
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def compare_clocks(response: httpx.Response, whose: str, asked_at: float) -> Finding | None:
    """Compare this machine's clock with the `Date` of an answer (RFC 9110, 6.6.1); None where it has none.

    Args:
        response: a fresh answer.
        whose: who answered, such as `the registry`.
        asked_at: when it was asked, in seconds since the epoch.
    """
    try:
        there = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    # The header has whole seconds, and was written between the question and now.
    now = time.time()
    apart = now - there if there < asked_at else max(0.0, there - now)
    if apart <= MAX_CLOCK_SECONDS:
        return ok("clock", f"agrees with that of {whose}")
    direction = "ahead of" if there < asked_at else "behind"
    return broken(
        "clock",
        f"this machine's clock is {_duration(apart)} {direction} that of {whose}: tokens and run times go wrong",
        "set both by network time: `sudo timedatectl set-ntp true`, and `timedatectl` shows whether it holds",
    )


def _duration(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{seconds:.0f} seconds"
