"""Check the MLflow server: its address, its kind, its Host check, and the account to use there."""

import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from slipway_cli.doctor.artifacts import WHERE_OF_ONES_OWN, check_artifacts
from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, guarded, ok, warning
from slipway_cli.doctor.http_probe import ANSWER_SECONDS, CONNECT_SECONDS, Kind, compare_clocks, kind_of, open_client
from slipway_cli.doctor.models import check_models
from slipway_cli.doctor.signing import check_signing
from slipway_cli.doctor.stores import where_artifacts_are

CHECK = "registry"
SEARCH = "/api/2.0/mlflow/registered-models/search"
START_COMPOSE_MLFLOW = (
    "start it with `docker compose up --detach mlflow`; `docker compose logs --tail 50 mlflow` shows why it ended"
)
HOST_REFUSED = "Invalid Host header"

NOT_MLFLOW: dict[Kind, str] = {
    "api": "Slipway's API responds, not MLflow",
    "mlflow": "MLflow responds, but not to registry requests",
    "page": "a web page responds, not MLflow",
    "other": "another server than MLflow responds",
    "silent": "the server does not speak HTTP",
}


def check_registry(context: DoctorContext) -> Iterator[Finding]:
    """Check the server and, if it can be used, its artifact store and its models."""
    if not (context.settings.mlflow_tracking_uri or context.stack_runs or context.compose_mlflow_url):
        if context.is_beside_compose:
            yield broken(CHECK, "MLflow of the compose stack is not running", START_COMPOSE_MLFLOW)
        else:
            yield ok(CHECK, "skipped: MLFLOW_TRACKING_URI is not set and no stack runs; `slipway up` starts one")
        return
    uri = context.tracking_uri
    shown = _without_credentials(uri)
    if shown is None:
        yield broken(
            "MLFLOW_TRACKING_URI",
            "is not the address of an MLflow server: it has no host, or does not begin with http:// or https://",
            f"write it as http://HOST:PORT, such as {context.embedded_mlflow_url} for the stack of `slipway up`",
        )
        return
    if "@" in urlsplit(uri).netloc:
        yield warning(
            "MLFLOW_TRACKING_URI",
            "contains a user name or password, but addresses are written to logs",
            "move them to MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    password = context.settings.mlflow_tracking_password
    with open_client(
        uri, context.settings.mlflow_tracking_username, password.get_secret_value() if password else None
    ) as client:
        sent_at = time.time()
        try:
            response = client.get(SEARCH, params={"max_results": 1})
        except httpx.HTTPError as error:
            yield _unreachable(context, shown, error)
            return
        if (clocks := compare_clocks(response, "the registry", sent_at)) is not None:
            yield clocks
        if (refused := _refused(context, shown, client, response)) is not None:
            yield refused
            return
        yield ok(CHECK, f"MLflow responds at {shown}")
        where = where_artifacts_are(context) if context.is_embedded else WHERE_OF_ONES_OWN
        if context.compose_mlflow_url is not None:
            where = "start minio if it is not running; otherwise see `docker compose logs --tail 50 mlflow minio`"
        yield from guarded("artifact store", lambda _: check_artifacts(client, where), context)
    yield from guarded("models", check_models, context)
    yield from guarded("signatures", check_signing, context)


def _without_credentials(uri: str) -> str | None:
    """Return a URL without user name, password and query; None if it is not a server's URL."""
    try:
        parts = urlsplit(uri)
        httpx.URL(uri)
        host, port = parts.hostname, parts.port
    except (ValueError, httpx.InvalidURL):
        return None
    if parts.scheme not in {"http", "https"} or not host:
        return None
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}{parts.path}"


def _unreachable(context: DoctorContext, shown: str, error: httpx.HTTPError) -> Finding:
    host, causes = urlsplit(shown).hostname, list(_causes(error))
    what = f"{shown} cannot be reached"
    mend = "start the MLflow server, or set MLFLOW_TRACKING_URI to its address"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        what = f"the name {host} does not resolve"
        mend = f"correct the host in MLFLOW_TRACKING_URI; `getent hosts {host}` shows its addresses"
    elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        what = f"no server listens at {shown}"
        if context.compose_mlflow_url is not None:
            mend = "`docker compose logs --tail 50 mlflow` shows the reason"
        elif context.is_at_embedded_address and context.is_beside_compose:
            mend = START_COMPOSE_MLFLOW
        elif context.is_embedded and context.stack_runs:
            mend = f"wait a moment if `slipway up` was just started; otherwise see {context.home.logs / 'mlflow.log'}"
        elif context.is_at_embedded_address:
            mend = "start it with `slipway up`, or set MLFLOW_TRACKING_URI to the address of your server"
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        what = f"no trusted TLS connection can be made to {shown}"
        mend = (
            "write http:// in MLFLOW_TRACKING_URI if the server has no TLS; otherwise set SSL_CERT_FILE to the "
            "certificate of the authority that signed the server's certificate"
        )
    elif isinstance(error, httpx.ConnectTimeout):
        what = f"the connection to {shown} times out after {CONNECT_SECONDS:.0f} s"
        mend = "check the host and port in MLFLOW_TRACKING_URI, and that no firewall drops the packets"
    elif isinstance(error, httpx.TimeoutException):
        what = f"{shown} does not respond within {ANSWER_SECONDS:.0f} s"
        mend = "see the MLflow server's log: it may be starting, overloaded, or waiting for its database"
    elif isinstance(error, httpx.ProxyError):
        what = f"the proxy of HTTP_PROXY or HTTPS_PROXY cannot reach {shown}"
        mend = f"bypass the proxy: `export NO_PROXY={host}`"
    elif isinstance(error, httpx.RemoteProtocolError):
        what = f"the server at {shown} does not speak HTTP"
        mend = "check the port in MLFLOW_TRACKING_URI, and write https:// if the server has TLS"
    return broken(CHECK, what, mend)


def _refused(context: DoctorContext, shown: str, client: httpx.Client, response: httpx.Response) -> Finding | None:
    """Return why the server cannot be used as a registry; None if it can."""
    status = response.status_code
    if status == httpx.codes.FORBIDDEN and HOST_REFUSED in response.text:
        return _host_refused(shown)
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return _credentials_refused(context, shown, status)
    if response.is_success and _is_search_result(response):
        return None
    mend = f"set MLFLOW_TRACKING_URI to the MLflow server; that of `slipway up` is {context.embedded_mlflow_url}"
    if response.is_redirect:
        what = f"{shown} redirects to another address ({status})"
        mend = "set MLFLOW_TRACKING_URI to the address of MLflow itself, without a login page in front of it"
    elif status in {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT}:
        what = f"{shown} is not available ({status})"
        mend = "start the MLflow server behind the proxy, without --artifacts-only, or wait until it is ready"
    elif response.is_server_error:
        what = f"the server at {shown} fails ({status})"
        mend = "see its log; the database of its --backend-store-uri may be unreachable, or need `mlflow db upgrade`"
    else:
        what = f"at {shown}, {NOT_MLFLOW[kind_of(client)]}"
    return broken(CHECK, what, mend)


def _host_refused(shown: str) -> Finding:
    # A pattern is matched against host and port together, and the variable replaces the defaults.
    parts = urlsplit(shown)
    host = f"[[]{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    pattern = f"{host}:*" if parts.port else host
    return broken(
        "Host check",
        f"MLflow rejects the host name of {shown} (403, Invalid Host header)",
        "start the MLflow server with the variable "
        f'MLFLOW_SERVER_ALLOWED_HOSTS="{pattern},localhost:*,127.0.0.1:*", which replaces the default list',
    )


def _credentials_refused(context: DoctorContext, shown: str, status: int) -> Finding:
    username = context.settings.mlflow_tracking_username
    if not username and "@" not in urlsplit(context.tracking_uri).netloc:
        return broken(
            "account",
            f"MLflow at {shown} requires an account ({status})",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    if status == httpx.codes.FORBIDDEN:
        return broken(
            "account",
            f"MLflow at {shown} does not allow this account to read the registry (403)",
            "ask an administrator of MLflow for access, or set another account in MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD",
        )
    return broken(
        "account",
        f"MLflow at {shown} rejects the user name or the password (401)",
        "correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    )


def _is_search_result(response: httpx.Response) -> bool:
    """Return whether a response is MLflow's; without any model, MLflow returns an empty object."""
    try:
        answer = response.json()
    except ValueError:
        return False
    return isinstance(answer, dict) and (not answer or "registered_models" in answer)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
