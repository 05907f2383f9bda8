"""Check the artifact store: write, read and delete a small file through the MLflow server."""

import secrets
from collections.abc import Iterator

import httpx

from slipway_cli.doctor.findings import Finding, broken, ok, warning

CHECK = "artifact store"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
FOLDER = "slipway-doctor"
# The server retries an S3 store several times before it reports an error.
STORE_SECONDS = 5.0

NOT_PROXIED = (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)
WHERE_OF_ONES_OWN = (
    "on the server, check that the bucket or folder of --artifacts-destination exists and is writable, and check "
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and MLFLOW_S3_ENDPOINT_URL; its log has details"
)


def check_artifacts(client: httpx.Client, where: str = WHERE_OF_ONES_OWN) -> Iterator[Finding]:
    """Write a file with a unique name, read it back and delete it.

    Args:
        client: a client of the MLflow server.
        where: what to check if the store fails.
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
        yield broken(CHECK, f"the server's store does not respond within {STORE_SECONDS:.0f} s", where)
        return
    except httpx.HTTPError:
        yield broken(CHECK, "the server closed the connection during a file transfer", "see the MLflow server's log")
        return
    if (refused := _refused(read, "read", where)) is not None:
        yield refused
        return
    if read.content != content:
        yield broken(
            CHECK,
            "the file that was read differs from the one that was written",
            "check for a proxy that changes bodies, or for two stores behind one address",
        )
    elif deleted.is_error:
        yield warning(
            CHECK,
            f"a file can be written and read, but not deleted ({deleted.status_code})",
            f"allow the server's account to delete objects, and remove the folder {FOLDER}/ from the store by hand",
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
            f"the server does not proxy artifacts ({status}), but the API fetches models through it",
            "start the MLflow server with `--serve-artifacts --artifacts-destination s3://BUCKET` (or a folder), "
            "without --no-serve-artifacts",
        )
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return broken(
            CHECK,
            f"the server does not allow this account to {verb} a file ({status})",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to an account that may train; if a proxy "
            "rejects the request, allow PUT and DELETE in it",
        )
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return broken(
            CHECK, "a proxy in front of the server rejects a small file (413)", "raise the proxy's limit for bodies"
        )
    return broken(CHECK, f"the server cannot {verb} a file in its store ({status})", where)
