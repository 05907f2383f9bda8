"""SageMaker's InvokeEndpoint, as its clients send it: a model is an endpoint, and its aliases are the variants.

See "InvokeEndpoint" in Amazon SageMaker's API reference. Requests and responses are those of `/invocations`.
"""

from typing import Final

from slipway_api.errors import InvalidInputError, NotFoundError
from slipway_api.protocols import scoring
from slipway_api.protocols.messages import (
    ParsedRequest,
    PredictionRequest,
    PredictionResponse,
    PredictionResult,
    RawHeaders,
)
from slipway_api.serving.served_model import ServedModel
from slipway_core.errors import Problem
from slipway_core.printable import SHOWN
from slipway_core.registry import PRODUCTION, STAGING
from slipway_core.registry.base import CANDIDATE_PREFIX

TARGET_VARIANT: Final = b"x-amzn-sagemaker-target-variant"
INVOKED_VARIANT: Final = b"x-amzn-invoked-production-variant"
# The name of the variant that SageMaker's Python SDK creates.
DEFAULT_VARIANT: Final = "AllTraffic"
# Each of these selects one of several models behind an endpoint.
UNSUPPORTED: Final = {
    b"x-amzn-sagemaker-target-model": "TargetModel",
    b"x-amzn-sagemaker-target-container-hostname": "TargetContainerHostname",
    b"x-amzn-sagemaker-inference-component": "InferenceComponentName",
}


def variant(headers: RawHeaders) -> str:
    """Return the alias of the variant that a request selects, by default Production.

    Raises:
        NotFoundError: no alias can have this name.
    """
    name = next((value.decode("latin-1") for key, value in headers if key == TARGET_VARIANT), PRODUCTION)
    if name in {"", DEFAULT_VARIANT}:
        return PRODUCTION
    if name in {PRODUCTION, STAGING} or name.startswith(CANDIDATE_PREFIX):
        return name
    raise NotFoundError(
        f"the endpoint has no variant {name[:SHOWN]!r}: send {PRODUCTION}, {STAGING} or {CANDIDATE_PREFIX}NAME as "
        "TargetVariant, or omit it"
    )


def read(model: ServedModel, request: PredictionRequest) -> ParsedRequest:
    """Parse a request as for `/invocations`. The response names the variant.

    Raises:
        InvalidInputError: it selects one of several models of an endpoint, or does not match its content type.
        UnsupportedMediaTypeError: it is neither JSON nor CSV.
        FeaturesError: the rows do not fit the signature.
        TooLargeError: it has too many rows.
    """
    for header, name in UNSUPPORTED.items():
        if request.header(header):
            message = f"{name} is not supported, because an endpoint has one model: remove it"
            raise InvalidInputError([Problem(("header", name), message)])
    parsed = scoring.read(model, request)
    invoked = variant(request.headers).encode("latin-1")

    def write(result: PredictionResult) -> PredictionResponse:
        response = parsed.write(result)
        return response._replace(headers=[*response.headers, (INVOKED_VARIANT, invoked)])

    return ParsedRequest(parsed.rows, write)
