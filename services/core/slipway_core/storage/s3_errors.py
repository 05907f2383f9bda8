"""Translate the errors of S3 and its client to Slipway's own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from slipway_core.errors import StorageError, StorageNotFoundError, StorageUnavailableError

NO_KEYS = "no keys for S3 are set: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
SERVER_FAULT = 500
# If a response has no body, botocore only knows its status.
MISSING_CODES = frozenset({"NoSuchKey", "NotFound", "404"})


@dataclass(frozen=True)
class Refusal:
    """Error codes of S3 with the same meaning.

    Attributes:
        sentence: the message; it may contain `{bucket}` and `{code}`.
    """

    codes: frozenset[str]
    kind: type[StorageError]
    sentence: str


NO_BUCKET = Refusal(
    frozenset({"NoSuchBucket"}),
    StorageNotFoundError,
    "bucket {bucket} does not exist: create it, or check its name and the address of the S3 server",
)
BUSY = Refusal(
    frozenset({"RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException"}),
    StorageUnavailableError,
    "the S3 server failed or is busy ({code}): try again later",
)
OTHER = Refusal(
    frozenset(), StorageError, "S3 refused the request to the bucket {bucket} ({code}): check the bucket's policy"
)
REFUSALS = (
    NO_BUCKET,
    BUSY,
    Refusal(
        frozenset(
            {"AccessDenied", "AllAccessDisabled", "Forbidden", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
        ),
        StorageError,
        "S3 refused access to the bucket {bucket}: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the "
        "permissions of that key",
    ),
    Refusal(
        frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}),
        StorageError,
        "S3 refused the session token: log in to AWS again, or renew AWS_SESSION_TOKEN",
    ),
    Refusal(
        frozenset({"RequestTimeTooSkewed"}),
        StorageError,
        "S3 refused the request because of the time of this machine: set the clock",
    ),
    Refusal(
        frozenset({"301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}),
        StorageError,
        "the bucket {bucket} is in another region: set AWS_DEFAULT_REGION to it",
    ),
)


@contextmanager
def translated_errors(bucket: str, path: str | None = None) -> Iterator[None]:
    """Translate boto3's exceptions to Slipway's own errors.

    Args:
        bucket: the bucket of the call.
        path: the file of the call; None if the call is about the bucket.

    Raises:
        StorageError: boto3 raised inside the block.
    """
    from boto3.exceptions import Boto3Error  # noqa: PLC0415  # installed wherever S3 is used
    from botocore import exceptions as boto  # noqa: PLC0415
    from s3transfer.exceptions import RetriesExceededError  # noqa: PLC0415

    try:
        yield
    except boto.ClientError as error:
        raise _refused(error.response, bucket, path) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise StorageError(NO_KEYS) from error
    except boto.SSLError as error:
        raise StorageUnavailableError(
            "the certificate of the S3 server is not trusted: set AWS_CA_BUNDLE to the file of its authority"
        ) from error
    except (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, RetriesExceededError) as error:
        raise StorageUnavailableError(
            f"the S3 server of the bucket {bucket} cannot be reached, or closed the connection: check that it runs, "
            "and its address in AWS_ENDPOINT_URL or MLFLOW_S3_ENDPOINT_URL"
        ) from error
    except (boto.BotoCoreError, Boto3Error) as error:
        raise StorageError(
            f"S3 cannot be used ({type(error).__name__}): check the variables AWS_*, and the AWS profile if you use one"
        ) from error


def _refused(response: dict[str, Any], bucket: str, path: str | None) -> StorageError:
    """Return Slipway's own error for an error response, as botocore parsed it."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in MISSING_CODES and path is not None:
        return StorageNotFoundError(f"file {path} does not exist: check its name and the storage's location")
    if code in MISSING_CODES:
        refusal = NO_BUCKET
    else:
        otherwise = BUSY if status >= SERVER_FAULT else OTHER
        refusal = next((refusal for refusal in REFUSALS if code in refusal.codes), otherwise)
    return refusal.kind(refusal.sentence.format(bucket=bucket, code=code or status))
