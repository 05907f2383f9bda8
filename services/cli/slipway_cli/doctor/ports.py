"""Check the ports of the embedded stack: free, or used by the stack itself."""

import errno
import shlex
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
    """A port that a server of the embedded stack listens on.

    Attributes:
        url: its address, as reachable from this machine.
        kind: the kind of server that the stack runs there.
        log: the server's log, relative to the home folder.
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
    """Check each port: it must be free, or the running stack's server must respond."""
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
    configured = Ports(settings.port, settings.mlflow_port)
    if settings.port == settings.mlflow_port:
        yield broken(
            "ports",
            f"the API and MLflow have the same port {settings.port}",
            "change one of them with SLIPWAY_PORT or SLIPWAY_MLFLOW_PORT",
        )
        return
    if context.stack_runs and (actual := context.home.ports() or configured) != configured:
        # Other programs may respond at the configured ports.
        yield broken(
            "ports",
            f"the stack of {context.home.root} listens on {actual.api} and {actual.mlflow}, not on {configured.api} "
            f"and {configured.mlflow}",
            f"run `slipway doctor --home {shlex.quote(str(context.home.root))} --port {actual.api} "
            f"--mlflow-port {actual.mlflow}`",
        )
        return
    for port in (api, mlflow):
        yield from _of_running_stack(context, port) if context.stack_runs else _of_no_stack(context, port)


def _of_running_stack(context: DoctorContext, port: StackPort) -> Iterator[Finding]:
    with open_client(port.url) as client:
        found = kind_of(client)
        if found == port.kind:
            yield ok(port.name, f"the running stack responds at {port.url}")
            if port.kind == "api":
                yield from _readiness(client)
            return
    what = f"{NAMES[found]} responds" if found != "silent" else "no server responds"
    yield broken(
        port.name,
        f"the stack of {context.home.root} runs, but {what} at {port.url}",
        f"wait a moment if it was just started; if it was started with {port.option}, pass the same option to "
        f"`slipway doctor`; otherwise see {context.home.root / port.log}",
    )


def _readiness(client: httpx.Client) -> Iterator[Finding]:
    sent_at = time.time()
    response = client.get("/health/ready")
    if response.is_success:
        yield ok("API", "ready to predict")
    else:
        missing = json_object(response).get("missing")
        reasons = missing.items() if isinstance(missing, dict) else ()
        yield warning(
            "API",
            "not ready: " + ("; ".join(f"{name}: {why}" for name, why in reasons) or f"status {response.status_code}"),
            "wait if the first training is running; otherwise `slipway train iris` trains a model, and "
            "GET /models/{name} shows why a model is not served",
        )
    if (clocks := compare_clocks(response, "the API", sent_at)) is not None:
        yield clocks


def _of_no_stack(context: DoctorContext, port: StackPort) -> Iterator[Finding]:
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    try:
        socket.create_server((port.host, port.number), family=family).close()
    except OSError as error:
        yield _why_not_free(context, port, error)
    else:
        yield ok(port.name, f"port {port.number} is free")


def _why_not_free(context: DoctorContext, port: StackPort, error: OSError) -> Finding:
    another = f"choose another port with `slipway up {port.option} PORT` or {port.variable}"
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
        return ok(port.name, f"port {port.number} is used by {service} of the compose stack")
    with open_client(port.url) as client:
        found = kind_of(client)
    what = f"port {port.number} is used by {NAMES[found]}"
    mend = f"{another}, or stop that program: `ss -ltnp 'sport = :{port.number}'` shows it"
    if context.is_embedded:
        return broken(port.name, what, mend)
    # MLflow is on another machine, so this may be `slipway-api serve`, and only `slipway up` would need the port.
    if found == port.kind:
        return ok(port.name, what)
    if port.kind == "mlflow":
        return warning(port.name, f"{what}; only `slipway up` needs it", mend)
    return broken(port.name, what, mend)
