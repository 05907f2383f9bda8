"""The one content type of bodies that are no forms."""

from fastapi import Request

from slipway_api.errors import UnsupportedMediaTypeError


async def require_json(request: Request) -> None:
    """Refuse a body that does not say that it is JSON (a FastAPI dependency).

    Raises:
        UnsupportedMediaTypeError: the content type is another, or missing.
    """
    check_json(media_type(request.headers.get("Content-Type", "")))


def media_type(content_type: str) -> str:
    """Return the media type of a `Content-Type` in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def check_json(given: str) -> None:
    """Refuse a media type that is not JSON.

    Raises:
        UnsupportedMediaTypeError: it is another, or missing.
    """
    if given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        what = f"{given} is not understood here" if given else "the body has no content type"
        raise UnsupportedMediaTypeError(f"{what}; send the header `Content-Type: application/json`")
