"""`python -m slipway_trainer` is `slipway-trainer`."""

from slipway_trainer.cli import main

main()
