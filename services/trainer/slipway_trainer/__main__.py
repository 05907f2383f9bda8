"""Run `slipway-trainer` as `python -m slipway_trainer`."""

from slipway_trainer.cli import main

main()
