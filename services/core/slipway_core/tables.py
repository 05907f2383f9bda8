"""The tables of Slipway's own database. Alembic's migrations create them; a test compares both.

Plain tables instead of the object-relational mapper: no code needs its sessions, and it would increase the API's start
time and memory.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

# Every constraint has a name, so that migrations can change it.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with a time zone, stored in UTC. SQLite loses the offset; this type restores it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert a time to UTC before it is written."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, ANN401
        """Read a time as UTC."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


users = Table(
    "users",
    metadata,
    # Immutable; the `sub` of the account's tokens.
    Column("id", Uuid, primary_key=True),
    # In lower case.
    Column("name", String(64), nullable=False, unique=True),
    Column("password_hash", String(255), nullable=False),
    # `admin`, `user` or `viewer`.
    Column("role", String(16), nullable=False),
    # The claim `ver` of its tokens. Each change of role, password or `disabled` raises it, which revokes older tokens.
    Column("version", Integer, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# The audit log of accounts. An event is written in the transaction of the change that it describes.
account_events = Table(
    "account_events",
    metadata,
    # A UUIDv7: sorts by time.
    Column("id", Uuid, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    # The user whose token was used; null if the request was not authenticated.
    Column("actor_id", Uuid, nullable=True),
    # The changed account. The event is kept when the account is erased.
    Column("subject_id", Uuid, nullable=False, index=True),
    # The name at the time of the event; null after the account was erased.
    Column("subject_name", String(64), nullable=True),
    Column("action", String(32), nullable=False),
    # The client's address, as the server saw it; null if unknown, and after the account was erased.
    Column("address", String(64), nullable=True),
    # Contains no names and no secrets.
    Column("details", JSON, nullable=False),
)


# None is stored as SQL NULL, not as JSON null: a model without scores has no value.
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

# Keys of programs. A row is deleted when its key is revoked, or its account deleted.
api_keys = Table(
    "api_keys",
    metadata,
    # A UUIDv7: sorts by time. It is part of the key's text.
    Column("id", Uuid, primary_key=True),
    # The account that created the key, and whose rights it has at most.
    Column("user_id", Uuid, nullable=False, index=True),
    # SHA-256 of the key's text, in hexadecimal.
    Column("digest", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("description", String(256), nullable=False),
    # The names of the models that it permits; null for all models.
    Column("models", Json),
    # `predict`, `read`, `feedback`, `reload` and `promote`.
    Column("actions", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # Null for a key that never expires.
    Column("expires_at", UtcDateTime),
    # Accurate to about a minute.
    Column("last_used_at", UtcDateTime),
    ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
)

# Tokens that were revoked before they expire.
revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    # The token's claim `jti`.
    Column("id", Uuid, primary_key=True),
    # When the token would have expired.
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

predictions = Table(
    "predictions",
    metadata,
    # UUIDv7: sorts by time.
    Column("id", Uuid, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    # The account, which may have been deleted.
    Column("user_id", Uuid, nullable=False),
    Column("model", String(256), nullable=False),
    Column("version", String(64), nullable=False),
    Column("manifest_sha256", String(80), nullable=False),
    # One array of numbers per row; a redacted value is null.
    Column("inputs", Json, nullable=False),
    # One class index or value per row.
    Column("prediction", Json, nullable=False),
    # One array of probabilities per row; null for a regressor.
    Column("scores", Json),
    Column("rows", Integer, nullable=False),
    Column("latency_seconds", Double, nullable=False),
    Column("request_id", String(128), nullable=False),
    Index("ix_predictions_at", "at", "id"),
    Index("ix_predictions_user_id", "user_id", "at", "id"),
    Index("ix_predictions_model", "model", "at", "id"),
)

# The lineage of each served model version, stored once for all of its predictions.
served_versions = Table(
    "served_versions",
    metadata,
    Column("manifest_sha256", String(80), primary_key=True),
    Column("model", String(256), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("run_id", String(256), nullable=False),
    Column("data_version", String(256), nullable=False),
    Column("git_commit", String(256)),
    # `classification` or `regression`.
    Column("task", String(64), nullable=False),
    # The names of the features, in the order of `inputs`.
    Column("features", Json, nullable=False),
    # The label of each class index; null for a regressor.
    Column("classes", Json),
)

feedback = Table(
    "feedback",
    metadata,
    Column("prediction_id", Uuid, primary_key=True),
    # The index of a row of the prediction.
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    # The account that sent the feedback.
    Column("by", Uuid, nullable=False),
    # The true label (classifier) or the true value (regressor).
    Column("label", Text),
    Column("value", Double),
    # Copied from the prediction, so that live metrics are computed from this table alone.
    Column("model", String(256), nullable=False),
    Column("version", String(64), nullable=False),
    Column("correct", Boolean),
    # The predicted value minus the true value.
    Column("error", Double),
    ForeignKeyConstraint(["prediction_id"], ["predictions.id"], ondelete="CASCADE"),
    Index("ix_feedback_model", "model", "version", "at"),
    Index("ix_feedback_by", "by"),
)

# Users whose predictions must not be stored, including predictions that arrive late.
erasures = Table(
    "erasures",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

# Recent failed logins, one row per name or address, and the addresses from which each name has logged in.
login_attempts = Table(
    "login_attempts",
    metadata,
    # A keyed hash of the name or address: rows have a fixed length and do not reveal the input.
    Column("key", String(64), primary_key=True),
    Column("attempts", Integer, nullable=False),
    # The row is invalid after this time; the next attempt starts a new count.
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)
