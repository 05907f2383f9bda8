"""The metrics of logins and accounts."""

from slipway_api.metrics import Metrics

LOGIN_OUTCOMES = ("ok", "refused", "throttled")


class AccountMetrics:
    """The metrics of logins and accounts."""

    def __init__(self, metrics: Metrics) -> None:
        self.logins = metrics.counter("slipway_logins_total", "Logins by outcome: ok, refused or throttled.", "outcome")
        for outcome in LOGIN_OUTCOMES:  # start at 0, so that alerts see the first increase
            self.logins.labels(outcome)
        self.up = metrics.gauge(
            "slipway_accounts_up", "1 if the accounts were last read from the database successfully.", mode="livemin"
        )
