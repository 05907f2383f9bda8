"""The artifact store: a small file goes through the MLflow server and comes back."""

import secrets
from collections.abc import Iterator

import httpx

from slipway_cli.doctor.findings import Finding, broken, ok, warning

CHECK = "artifact store"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
FOLDER = "slipway-doctor"
# The server tries an S3 store again and again before it gives up.
STORE_SECONDS = 5.0

NOT_PROXIED = (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)
WHERE_OF_ONES_OWN = (
    "check, for the server: that the bucket or folder of its --artifacts-destination exists and can be written, its "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and MLFLOW_S3_ENDPOINT_URL; its log has more"
)


def check_artifacts(client: httpx.Client, where: str = WHERE_OF_ONES_OWN) -> Iterator[Finding]:
    """Write a file, read it back and delete it, under a name that no other has.

    Args:
        client: a client of the MLflow server.
        where: what to check if its store fails.
    """
    path = f"{ARTIFACTS}/{FOLDER}/{secrets.token_hex(16)}.txt"
    content = secrets.token_bytes(64)
    try:
        written = client.put(path, content=content, timeout=STORE_SECONDS)
        if (refused := _refused(written, "write", where)) is not None:
            yield refused
            return
        read = client.get(path, timeout=STORE_SECONDS)
        deleted = client.delete(path, timeout=STORE_SECONDS)
    except httpx.TimeoutException:
        yield broken(CHECK, f"the server's store does not answer within {STORE_SECONDS:.0f} s", where)
        return
    except httpx.HTTPError:
        yield broken(CHECK, "the server broke the connection over a file", "see the MLflow server's log")
        return
    if (refused := _refused(read, "read", where)) is not None:
        yield refused
        return
    if read.content != content:
        yield broken(
            CHECK,
            "a file comes back as another than was written",
            "check what lies between: a proxy that changes bodies, or two stores behind one address",
        )
    elif deleted.is_error:
        yield warning(
            CHECK,
            f"a file is written and read, but cannot be deleted ({deleted.status_code})",
            f"let the server's account delete objects, and remove the folder {FOLDER}/ in the store by hand",
        )
    else:
        yield ok(CHECK, "a file was written, read and deleted through the server")


def _refused(response: httpx.Response, verb: str, where: str) -> Finding | None:
    status = response.status_code
    if response.is_success:
        return None
    if "serve-artifacts" in response.text or "not configured" in response.text or status in NOT_PROXIED:
        return broken(
            CHECK,
            f"the server passes no artifacts on ({status}), and the API fetches models through it",
            "start the MLflow server with `--serve-artifacts --artifacts-destination s3://BUCKET` (or a folder), "
            "without --no-serve-artifacts",
        )
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return broken(
            CHECK,
            f"the server does not allow this account to {verb} a file ({status})",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to an account that may train; or if a proxy "
            "before the server refuses, let it pass PUT and DELETE",
        )
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return broken(
            CHECK, "a proxy before the server refuses a small file (413)", "raise the proxy's limit of bodies"
        )
    return broken(CHECK, f"the server cannot {verb} a file in its store ({status})", where)
