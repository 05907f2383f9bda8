"""One stack for all tests: they put back what they take away."""

from collections.abc import Iterator

import pytest

from support.compose_stack import ComposeStack, compose_stack

# What a person would wait for, taken out.
ALERTING = {
    "SLIPWAY_ALERT_WEBHOOK_URL": "http://receiver:8080/",
    "SLIPWAY_ALERT_WEBHOOK_MIN_SEVERITY": "warning",
    "SLIPWAY_ALERT_GROUP_WAIT_SECONDS": "0",
    "SLIPWAY_ALERT_GROUP_INTERVAL_SECONDS": "1",
}
# HTTPS, beside another stack that has the default subnet.
HTTPS = {
    "SLIPWAY_DOMAIN": "localhost",
    "CADDY_IMAGE": "slipway-test-caddy:local",
    "CADDY_SUBNET": "198.51.100.0/28",
}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """Run the stack of this checkout as it is, but for its name, its ports and how soon it alerts."""
    with compose_stack(tmp_path_factory.mktemp("stack"), "slipway-test", ALERTING | HTTPS) as running:
        print(f"up --wait took {running.seconds:.1f} s with images built")
        yield running
