"""The ports of the embedded stack: free, or held by the stack itself."""

import errno
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning
from slipway_cli.doctor.http_probe import Kind, compare_clocks, json_object, kind_of, open_client
from slipway_cli.embedded.home import Ports
from slipway_cli.errors import StackError

NAMES: dict[Kind, str] = {
    "api": "a Slipway API",
    "mlflow": "an MLflow server",
    "page": "a web server",
    "other": "a web server",
    "silent": "a program",
}


@dataclass(frozen=True)
class StackPort:
    """A port that a server of ours listens on.

    Attributes:
        url: its address, as this machine reaches it.
        kind: what answers there if it is ours.
        log: the server's log, below the home folder.
    """

    host: str
    number: int
    url: str
    kind: Kind
    name: str
    option: str
    variable: str
    log: str


def check_ports(context: DoctorContext) -> Iterator[Finding]:
    """Look at each port: free while no stack runs, answering as what it is while one does."""
    settings = context.settings
    api = StackPort(
        settings.host, settings.port, context.api_url, "api", "API port", "--port", "SLIPWAY_PORT", "logs/api.log"
    )
    mlflow = StackPort(
        "127.0.0.1",
        settings.mlflow_port,
        context.embedded_mlflow_url,
        "mlflow",
        "MLflow port",
        "--mlflow-port",
        "SLIPWAY_MLFLOW_PORT",
        "logs/mlflow.log",
    )
    asked = Ports(settings.port, settings.mlflow_port)
    if settings.port == settings.mlflow_port:
        yield broken(
            "ports",
            f"the API and MLflow are both to listen on port {settings.port}",
            "choose another for one of them with SLIPWAY_PORT or SLIPWAY_MLFLOW_PORT",
        )
        return
    if context.stack_runs and (elsewhere := context.home.ports() or asked) != asked:
        # What answers at the ports that were asked for is somebody else's.
        yield broken(
            "ports",
            f"the stack of {context.home.root} listens on {elsewhere.api} and {elsewhere.mlflow}, not on {asked.api} "
            f"and {asked.mlflow}",
            f"run `SLIPWAY_PORT={elsewhere.api} SLIPWAY_MLFLOW_PORT={elsewhere.mlflow} slipway doctor`",
        )
        return
    for port in (api, mlflow):
        yield from _of_running_stack(context, port) if context.stack_runs else _of_no_stack(context, port)


def _of_running_stack(context: DoctorContext, port: StackPort) -> Iterator[Finding]:
    with open_client(port.url) as client:
        found = kind_of(client)
        if found == port.kind:
            yield ok(port.name, f"the running stack answers at {port.url}")
            if port.kind == "api":
                yield from _readiness(client)
            return
    what = f"{NAMES[found]} answers" if found != "silent" else "nothing answers"
    yield broken(
        port.name,
        f"the stack of {context.home.root} runs, but {what} at {port.url}",
        f"wait a moment if it was started just now; if it was started with {port.option}, give the same to "
        f"`slipway doctor`; else see {context.home.root / port.log}",
    )


def _readiness(client: httpx.Client) -> Iterator[Finding]:
    asked_at = time.time()
    response = client.get("/health/ready")
    if response.is_success:
        yield ok("API", "a prediction can be made")
    else:
        missing = json_object(response).get("missing")
        reasons = missing.items() if isinstance(missing, dict) else ()
        yield warning(
            "API",
            "not ready: "
            + ("; ".join(f"{name}: {why}" for name, why in reasons) or f"it answers {response.status_code}"),
            "wait if the first training is under way; else `slipway train iris` makes a model, and "
            "GET /models/{name} says why one is not served",
        )
    if (clocks := compare_clocks(response, "the API", asked_at)) is not None:
        yield clocks


def _of_no_stack(context: DoctorContext, port: StackPort) -> Iterator[Finding]:
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    try:
        socket.create_server((port.host, port.number), family=family).close()
    except OSError as error:
        yield _why_not_free(context, port, error)
    else:
        yield ok(port.name, f"{port.number} is free")


def _why_not_free(context: DoctorContext, port: StackPort, error: OSError) -> Finding:
    another = f"choose another with `slipway up {port.option} PORT` or {port.variable}"
    if error.errno == errno.EADDRINUSE:
        return _taken(context, port, another)
    if error.errno in {errno.EADDRNOTAVAIL, socket.EAI_NONAME, socket.EAI_AGAIN}:
        what = f"{port.host} is not an address of this machine"
        mend = "set SLIPWAY_HOST to one of its addresses, such as 127.0.0.1, or to 0.0.0.0 for all of them"
    elif error.errno == errno.EACCES:
        what, mend = f"this account may not listen on port {port.number}", f"{another}, above 1023"
    else:
        what, mend = f"cannot listen on {port.host} port {port.number}", another
    return broken(port.name, what, mend)


def _of_compose(context: DoctorContext, port: StackPort) -> str | None:
    """Return the service of the compose stack that listens on a port, if one does."""
    try:
        found = context.compose_containers
    except StackError:
        return None
    return next((one.service for one in found if port.number in one.ports.values()), None)


def _taken(context: DoctorContext, port: StackPort, another: str) -> Finding:
    if service := _of_compose(context, port):
        return ok(port.name, f"{port.number} is held by {service} of the compose stack")
    with open_client(port.url) as client:
        found = kind_of(client)
    what = f"{port.number} is taken by {NAMES[found]}"
    mend = f"{another}, or end that program: `ss -ltnp 'sport = :{port.number}'` names it"
    if context.is_embedded:
        return broken(port.name, what, mend)
    # MLflow is elsewhere, so what runs here may be `slipway-api serve`, and its port matters to `slipway up` alone.
    if found == port.kind:
        return ok(port.name, what)
    if port.kind == "mlflow":
        return warning(port.name, f"{what}; only `slipway up` needs it", mend)
    return broken(port.name, what, mend)
