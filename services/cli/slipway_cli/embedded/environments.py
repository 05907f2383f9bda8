"""The environment variables of each process of the embedded stack. Each process gets only its own secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Each is given to the one process that needs it.
OWNED = frozenset(
    {
        "DATABASE_URL",
        "MLFLOW_ARTIFACTS_DESTINATION",
        "MLFLOW_BACKEND_STORE_URI",
        "SECRET_KEY",
        "SLIPWAY_ADMIN_PASSWORD",
        # These are the compose stack's; nothing here needs them.
        "SLIPWAY_ALERT_HEARTBEAT_URL",
        "SLIPWAY_ALERT_SLACK_URL",
        "SLIPWAY_ALERT_SMTP_PASSWORD",
        "SLIPWAY_ALERT_WEBHOOK_URL",
        "SLIPWAY_TOKEN",
    }
)
# The keys of S3, among others. The API fetches what it serves through MLflow.
STORAGE_PREFIXES = ("AWS_", "MLFLOW_S3_")

MLFLOW_SETTINGS = {
    # Without job execution it is one process and 0.4 GB, with it 15 and 2.3 GB.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# S3 servers that are not Amazon's need not know its newer checksums; who wants them sets these variables.
STORAGE_DEFAULTS = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}


@dataclass(frozen=True)
class Environments:
    """The whole environment of each process."""

    mlflow: Mapping[str, str] = field(default_factory=dict, repr=False)
    trainer: Mapping[str, str] = field(default_factory=dict, repr=False)
    api: Mapping[str, str] = field(default_factory=dict, repr=False)


def environments(
    inherited: Mapping[str, str],
    shared: Mapping[str, str],
    *,
    stores: Mapping[str, str],
    api_secrets: Mapping[str, str],
) -> Environments:
    """Divide the environment among the processes.

    Args:
        inherited: the person's own environment.
        shared: what every process gets beside it.
        stores: where MLflow keeps runs, models and artifacts; it may hold a password.
        api_secrets: what the API alone gets.
    """
    everyone = {name: value for name, value in inherited.items() if name not in OWNED} | dict(shared)
    with_storage = STORAGE_DEFAULTS | everyone
    return Environments(
        mlflow={**with_storage, **MLFLOW_SETTINGS, **stores},
        trainer=with_storage,
        api={
            **{name: value for name, value in everyone.items() if not name.startswith(STORAGE_PREFIXES)},
            **api_secrets,
        },
    )
