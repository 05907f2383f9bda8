"""The environment of each process of the embedded stack. Each process receives only its own secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Each of these is passed only to the process that needs it.
OWNED = frozenset(
    {
        "DATABASE_URL",
        "MLFLOW_ARTIFACTS_DESTINATION",
        "MLFLOW_BACKEND_STORE_URI",
        "SECRET_KEY",
        "SLIPWAY_ADMIN_PASSWORD",
        # Used only by the compose stack, and by commands that use the API.
        "SLIPWAY_ALERT_HEARTBEAT_URL",
        "SLIPWAY_ALERT_SLACK_URL",
        "SLIPWAY_ALERT_SMTP_PASSWORD",
        "SLIPWAY_ALERT_WEBHOOK_URL",
        "SLIPWAY_API_KEY",
        # `slipway up` has its own keys: the API must not receive the one that signs versions.
        "SLIPWAY_SIGNING_KEY_FILE",
        "SLIPWAY_TOKEN",
        "SLIPWAY_TRUSTED_KEYS",
    }
)
# Among others, the keys for S3. The API does not need them, because it fetches models through MLflow.
STORAGE_PREFIXES = ("AWS_", "MLFLOW_S3_")

MLFLOW_SETTINGS = {
    # MLflow without job execution is one process with 0.4 GB of memory; with it, 15 processes with 2.3 GB.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# Other S3 servers than Amazon's may not support its newer checksums; users can set these variables themselves.
STORAGE_DEFAULTS = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}


@dataclass(frozen=True)
class Environments:
    """The complete environment of each process."""

    mlflow: Mapping[str, str] = field(default_factory=dict, repr=False)
    trainer: Mapping[str, str] = field(default_factory=dict, repr=False)
    api: Mapping[str, str] = field(default_factory=dict, repr=False)


def environments(
    inherited: Mapping[str, str],
    shared: Mapping[str, str],
    *,
    stores: Mapping[str, str],
    api_secrets: Mapping[str, str],
    trainer_secrets: Mapping[str, str] | None = None,
) -> Environments:
    """Split the environment between the processes.

    Args:
        inherited: the environment of `slipway up`.
        shared: additional variables of every process.
        stores: the variables of MLflow's stores; they may contain a password.
        api_secrets: the variables that only the API receives.
        trainer_secrets: the variables that only the trainer receives.
    """
    everyone = {name: value for name, value in inherited.items() if name not in OWNED} | dict(shared)
    with_storage = STORAGE_DEFAULTS | everyone
    return Environments(
        mlflow={**with_storage, **MLFLOW_SETTINGS, **stores},
        trainer={**with_storage, **(trainer_secrets or {})},
        api={
            **{name: value for name, value in everyone.items() if not name.startswith(STORAGE_PREFIXES)},
            **api_secrets,
        },
    )
