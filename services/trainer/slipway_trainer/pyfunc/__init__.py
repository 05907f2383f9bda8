"""The files that let MLflow's own tools run a bundle: its signature, its environment and the code that loads it."""
