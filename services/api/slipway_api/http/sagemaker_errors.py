"""Errors as SageMaker's clients parse them: a code in a header, and the message in `Message`."""

from collections.abc import Mapping
from http import HTTPStatus

PREFIX = "/endpoints/"
ERROR_TYPE = "X-Amzn-ErrorType"
# SageMaker's own codes, and those that all services of AWS share.
CODES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "UnrecognizedClientException",
    HTTPStatus.FORBIDDEN: "AccessDeniedException",
    HTTPStatus.NOT_FOUND: "ValidationError",
    HTTPStatus.METHOD_NOT_ALLOWED: "ValidationError",
    HTTPStatus.TOO_MANY_REQUESTS: "ThrottlingException",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalFailure",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable",
}
# For a request that the model's server rejects.
MODEL_ERROR = "ModelError"


def is_sagemaker(path: str) -> bool:
    """Return whether a path is one of SageMaker's clients."""
    return path.startswith(PREFIX)


def error_fields(status: int, detail: str) -> tuple[str, dict[str, str | int]]:
    """Return the code of an error, and the fields that its body has in addition."""
    code = CODES.get(status, MODEL_ERROR)
    fields: dict[str, str | int] = {"Message": detail}
    if code == MODEL_ERROR:
        fields |= {"OriginalStatusCode": int(status), "OriginalMessage": detail}
    return code, fields
