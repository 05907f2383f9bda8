"""`python -m slipway_api` is `slipway-api`."""

from slipway_api.main import main

main()
