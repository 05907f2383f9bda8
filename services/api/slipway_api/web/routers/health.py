"""The home page, health checks and metrics."""

import ipaddress
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

import slipway_core
from slipway_api.errors import PermissionDeniedError
from slipway_api.http.content_types import prefers
from slipway_api.http.openapi import errors
from slipway_api.web.dependencies import Models
from slipway_api.web.home_page import home_page

router = APIRouter()


class Welcome(BaseModel):
    """Links to the API's main pages."""

    service: str
    version: str
    docs: str
    openapi: str
    ready: str


class Live(BaseModel):
    """Whether the process runs."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """Whether every required model is loaded."""

    status: Literal["ready", "not ready"]
    models: dict[str, str] = Field(
        description="Served version of each model; a pinned version has a key such as `iris@7`."
    )
    missing: dict[str, str] = Field(description="Reason for each required model that is not served.")


@router.get(
    "/",
    tags=["service"],
    response_model=Welcome,
    responses={
        200: {"content": {"text/html": {}}, "description": "Links, as HTML if `Accept` prefers it, else as JSON."}
    },
)
async def welcome(request: Request, response: Response) -> Welcome | HTMLResponse:
    """Return links to the documentation, health checks and models: HTML for browsers, JSON for programs."""
    vary = {"Vary": "Accept"}
    if prefers(",".join(request.headers.getlist("Accept")).encode("latin-1"), "text/html"):
        return HTMLResponse(home_page(slipway_core.__version__, request.scope.get("root_path", "")), headers=vary)
    response.headers.update(vary)
    return Welcome(
        service="slipway",
        version=slipway_core.__version__,
        docs="/docs",
        openapi="/openapi.json",
        ready="/health/ready",
    )


@router.get("/health/live", tags=["service"])
async def live() -> Live:
    """Return 200 while the process runs."""
    return Live()


@router.get(
    "/health/ready",
    tags=["service"],
    response_model=Ready,
    responses={503: {"model": Ready, "description": "A required model is not loaded; `missing` has the reasons."}},
)
async def ready(models: Models) -> Response:
    """Return 200 once every required model is loaded, else 503 with the missing models."""
    missing = models.reasons_missing()
    body = Ready(
        status="not ready" if missing else "ready",
        models={str(ref): model.version for ref, model in models.loaded.items() if not ref.is_beside},
        missing=missing,
    )
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    headers = {"Retry-After": "2"} if missing else None
    return Response(body.model_dump_json(), status, headers, "application/json")


@router.get(
    "/metrics",
    tags=["service"],
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."},
        **errors(403),
    },
)
async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format; restricted to loopback and private addresses by default."""
    if not (request.app.state.metrics_public or all(map(_is_private, _addresses(request)))):
        raise PermissionDeniedError(
            "metrics are restricted to loopback and private addresses; SLIPWAY_METRICS_PUBLIC=true opens them"
        )
    return Response(request.app.state.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _addresses(request: Request) -> list[str]:
    """Return the client's address, and the addresses from proxy headers.

    A proxy that FORWARDED_ALLOW_IPS does not trust has a private address itself. Its forwarded addresses are used only
    to restrict access, never to grant it.
    """
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    return [
        request.client.host if request.client else "",
        *(one.strip() for one in forwarded.split(",") if one.strip()),
    ]


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private or address.is_loopback
