"""The URL of a server that listens on a host and a port."""

# The port of MLflow in its container.
MLFLOW_PORT = 5000
# MLflow's page of experiments and runs; its start page covers other uses of MLflow.
MLFLOW_RUNS = "/#/experiments?workflowType=machine_learning"


def reachable_url(host: str, port: int) -> str:
    """Return the URL at which this machine reaches a server that listens on this host and port."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"http://{f'[{own}]' if ':' in own and '[' not in own else own}:{port}"
