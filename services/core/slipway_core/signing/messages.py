"""The signed messages, and how signatures are stored in tags of the registry."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from slipway_core.errors import SignatureError
from slipway_core.signing.keys import PublicKey, Purpose, Signer, TrustedKeys

SIGNATURE_TAG = "slipway.signature"
SIGNATURE_FIELD = "signature"
# Of an event in characters: ten times as many as a tag can have in PostgreSQL. Parsing megabytes takes seconds.
MAX_EVENT = 50_000


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:  # pydantic converts ValueError only
        raise ValueError("the time is before the year 1 or after the year 9999, UTC") from error


UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class VersionSignature(BaseModel):
    """The content of a version's tag `slipway.signature`.

    Attributes:
        digest: that of the bundle's manifest; for a version without a bundle, that of its files.
        at: when it was signed, UTC.
        signature: the key's id and the signature.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    at: UtcTime
    signature: str

    def message(self, model: str, version: str) -> bytes:
        """Return what the signature covers: the model, the version's number, the digest and the time."""
        fields = {"model": model, "version": version, "digest": self.digest, "at": self.at.isoformat()}
        return _canonical(fields)


def sign_version(signer: Signer, model: str, version: str, digest: str, at: datetime) -> str:
    """Return the value of a version's tag `slipway.signature`."""
    unsigned = VersionSignature(digest=digest, at=at, signature="")
    signature = signer.sign(unsigned.message(model, version), Purpose.VERSION)
    return unsigned.model_copy(update={"signature": signature}).model_dump_json()


def verify_version(trusted: TrustedKeys, tag: str, model: str, version: str) -> tuple[VersionSignature, PublicKey]:
    """Return a version's verified signature, and the key that signed it.

    Raises:
        SignatureError: the tag is malformed, or no trusted key signed this version of this model.
    """
    try:
        found = VersionSignature.model_validate_json(tag)
    except ValidationError as error:
        raise SignatureError("its signature is malformed") from error
    return found, trusted.verify(found.signature, found.message(model, version), Purpose.VERSION)


def sign_event(signer: Signer, model: str, number: int, tag: str) -> str:
    """Return the tag of an event with a signature.

    Args:
        signer: signs it.
        model: the model's name.
        number: the event's number in the key of its tag.
        tag: the JSON of the event.
    """
    fields = {key: value for key, value in json.loads(tag).items() if key != SIGNATURE_FIELD}
    signature = signer.sign(_event_message(model, number, fields), Purpose.EVENT)
    return json.dumps({**fields, SIGNATURE_FIELD: signature}, ensure_ascii=False, separators=(",", ":"))


def verify_event(trusted: TrustedKeys, model: str, number: int, tag: str) -> tuple[PublicKey, str]:
    """Return the trusted key that signed an event, and the event's JSON without the signature.

    Read the event from this JSON only: another parser may read the tag in another way, such as a repeated key.

    The message covers every field of the tag, also those of a later release, and the tag's model and number.

    Raises:
        SignatureError: the event is unsigned, malformed, renumbered, or of another model, or the key is not trusted.
    """
    if len(tag) > MAX_EVENT:
        raise SignatureError(f"it has more than {MAX_EVENT} characters")
    try:
        fields = json.loads(tag)
        signature = fields.pop(SIGNATURE_FIELD, None) if isinstance(fields, dict) else None
        # Writing a deeply nested tag can fail even if reading it does not.
        message, signed = _event_message(model, number, fields), _canonical(fields).decode()
    except (ValueError, RecursionError) as error:
        raise SignatureError("it is malformed") from error
    if not isinstance(signature, str):
        raise SignatureError("it is not signed")
    return trusted.verify(signature, message, Purpose.EVENT), signed


def _event_message(model: str, number: int, fields: Mapping[str, Any]) -> bytes:
    return _canonical({"model": model, "number": number, "event": fields})


def _canonical(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
