"""Every environment variable with Slipway's prefix.

All services read one environment, so a service cannot tell a misspelt variable from one that belongs to its
neighbour; this list can. A test holds it against the settings classes and `.env.example`.
"""

PREFIX = "SLIPWAY_"

VARIABLES = frozenset(
    {
        "SLIPWAY_ADMIN_PASSWORD",
        "SLIPWAY_ADMIN_USERNAME",
        "SLIPWAY_ALERT_EMAIL_FROM",
        "SLIPWAY_ALERT_EMAIL_TO",
        "SLIPWAY_ALERT_GROUP_INTERVAL_SECONDS",
        "SLIPWAY_ALERT_GROUP_WAIT_SECONDS",
        "SLIPWAY_ALERT_HEARTBEAT_URL",
        "SLIPWAY_ALERT_REPEAT_SECONDS",
        "SLIPWAY_ALERT_RUNBOOK_URL",
        "SLIPWAY_ALERT_SLACK_CHANNEL",
        "SLIPWAY_ALERT_SLACK_URL",
        "SLIPWAY_ALERT_SMTP_HOST",
        "SLIPWAY_ALERT_SMTP_PASSWORD",
        "SLIPWAY_ALERT_SMTP_TLS",
        "SLIPWAY_ALERT_SMTP_USERNAME",
        "SLIPWAY_ALERT_WEBHOOK_MIN_SEVERITY",
        "SLIPWAY_ALERT_WEBHOOK_URL",
        "SLIPWAY_ALLOW_UNVERIFIED_MODELS",
        "SLIPWAY_AUTH_STALE_SECONDS",
        "SLIPWAY_CACHE_DIR",
        "SLIPWAY_CORS_ORIGINS",
        "SLIPWAY_DATA_DIR",
        "SLIPWAY_DEFAULT_MODEL",
        "SLIPWAY_ENV",
        "SLIPWAY_HOME",
        "SLIPWAY_HOST",
        "SLIPWAY_JOURNAL_DIR",
        "SLIPWAY_JOURNAL_MAX_BYTES",
        "SLIPWAY_LIVE_WINDOW_SECONDS",
        "SLIPWAY_LOG_FORMAT",
        "SLIPWAY_LOG_LEVEL",
        "SLIPWAY_LOGIN_MAX_FAILURES",
        "SLIPWAY_LOGIN_MAX_FAILURES_PER_ADDRESS",
        "SLIPWAY_LOGIN_WINDOW_SECONDS",
        "SLIPWAY_MAX_BODY_BYTES",
        "SLIPWAY_MAX_REQUESTS_IN_FLIGHT",
        "SLIPWAY_MAX_ROWS",
        "SLIPWAY_MAX_WAITING",
        "SLIPWAY_METRICS_PUBLIC",
        "SLIPWAY_MLFLOW_PORT",
        "SLIPWAY_MODELS",
        "SLIPWAY_PORT",
        "SLIPWAY_PREDICTIONS_PER_MINUTE",
        "SLIPWAY_REGISTRATION",
        "SLIPWAY_PREDICTION_LOG",
        "SLIPWAY_PREDICTION_RETENTION_DAYS",
        "SLIPWAY_REDACTED_FEATURES",
        "SLIPWAY_REGISTRY_POLL_SECONDS",
        "SLIPWAY_REQUEST_TIMEOUT_SECONDS",
        "SLIPWAY_TOKEN",
        "SLIPWAY_TOKEN_TTL_SECONDS",
        "SLIPWAY_URL",
        "SLIPWAY_WORKERS",
    }
)

# Those that may come from a file: `NAME_FILE` names it.
FILE_VARIABLES = frozenset(
    {
        "SLIPWAY_ADMIN_PASSWORD",
        "SLIPWAY_ALERT_HEARTBEAT_URL",
        "SLIPWAY_ALERT_SLACK_URL",
        "SLIPWAY_ALERT_SMTP_PASSWORD",
        "SLIPWAY_ALERT_WEBHOOK_URL",
        "SLIPWAY_TOKEN",
    }
)

# Those that other tools know too have no prefix; writing one is the likely mistake.
UNPREFIXED = frozenset(
    {
        "DATABASE_URL",
        "FORWARDED_ALLOW_IPS",
        "MLFLOW_ARTIFACTS_DESTINATION",
        "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_USERNAME",
        "SECRET_KEY",
    }
)
