"""The one content type of bodies that are no forms."""

from fastapi import Request

from slipway_api.errors import UnsupportedMediaTypeError


async def require_json(request: Request) -> None:
    """Refuse a body that does not say that it is JSON (a FastAPI dependency).

    Raises:
        UnsupportedMediaTypeError: the content type is another, or missing.
    """
    given = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        what = f"{given} is not understood here" if given else "the body has no content type"
        raise UnsupportedMediaTypeError(f"{what}; send the header `Content-Type: application/json`")
