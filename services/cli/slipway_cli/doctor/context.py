"""The input of the checks: the readable settings, and the folder of the embedded stack."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slipway_cli.addresses import MLFLOW_PORT, reachable_url
from slipway_cli.docker.compose_project import ComposeProject, find_project
from slipway_cli.docker.containers import Container, containers
from slipway_cli.embedded.home import Home
from slipway_cli.errors import StackError
from slipway_cli.settings import DoctorSettings
from slipway_core.settings import variable_of

UNVERIFIED_VARIABLE = "SLIPWAY_ALLOW_UNVERIFIED_MODELS"


@dataclass(frozen=True)
class DoctorContext:
    """The input of the checks.

    Attributes:
        settings: the settings; an invalid value is replaced by the default.
        home: the folder of the embedded stack.
        wrong_values: why a value is invalid, by variable.
    """

    settings: DoctorSettings
    home: Home
    wrong_values: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def stack_runs(self) -> bool:
        """Whether a stack of `slipway up` runs in the home folder."""
        return self.home.is_locked()

    @cached_property
    def compose_project(self) -> ComposeProject | None:
        """The compose project in this folder or a parent folder; None without a compose file or without Docker."""
        if shutil.which("docker") is None:
            return None
        try:
            return find_project(Path.cwd())
        except StackError:
            return None

    @cached_property
    def compose_containers(self) -> Sequence[Container]:
        """The containers of the compose project.

        Raises:
            StackError: Docker does not respond.
        """
        return () if self.compose_project is None else containers(self.compose_project)

    @cached_property
    def compose_mlflow_url(self) -> str | None:
        """The address of the compose stack's MLflow, if the checks should use it.

        They do if no other server is configured and `slipway up` is not running.
        """
        if self.settings.mlflow_tracking_uri or self.stack_runs:
            return None
        try:
            found = self.compose_containers
        except StackError:
            return None
        port = next((one.ports.get(MLFLOW_PORT) for one in found if one.service == "mlflow"), None)
        return None if port is None else f"http://127.0.0.1:{port}"

    @property
    def is_beside_compose(self) -> bool:
        """Whether the compose stack has a running service and `slipway up` is not running; advice is then about it."""
        if self.stack_runs:
            return False
        try:
            return any(one.state == "running" for one in self.compose_containers)
        except StackError:
            return False

    @cached_property
    def allows_unverified_models(self) -> bool:
        """Whether the API serves versions that Slipway's trainer did not register.

        The compose stack's API has its own environment, which `.env` may set.
        """
        if self.compose_project is None or self.compose_mlflow_url is None:
            return self.settings.allow_unverified_models
        try:
            environment = self.compose_project.config()["services"]["api"]["environment"]
            value = str(environment.get(UNVERIFIED_VARIABLE) or "false")
        except (StackError, KeyError, AttributeError, TypeError):
            return self.settings.allow_unverified_models
        return value.strip().lower() in {"1", "true", "t", "yes", "y", "on"}

    @property
    def embedded_mlflow_url(self) -> str:
        """The address of the embedded stack's MLflow."""
        return f"http://127.0.0.1:{self.settings.mlflow_port}"

    @property
    def api_url(self) -> str:
        """The address of the API, as reachable from this machine."""
        return reachable_url(self.settings.host, self.settings.port)

    @property
    def tracking_uri(self) -> str:
        """The MLflow server to check: the configured one, or that of the running stack."""
        return self.compose_mlflow_url or self._configured_uri

    @property
    def is_at_embedded_address(self) -> bool:
        """Whether the MLflow server has the address at which `slipway up` would start its own."""
        return self._configured_uri in {self.embedded_mlflow_url, f"http://localhost:{self.settings.mlflow_port}"}

    @property
    def is_embedded(self) -> bool:
        """Whether the MLflow server belongs to the embedded stack.

        A server of MLFLOW_TRACKING_URI belongs to the stack only while the stack runs: otherwise, another server may
        listen at the same address.
        """
        return self.is_at_embedded_address and (not self.settings.mlflow_tracking_uri or self.stack_runs)

    @property
    def _configured_uri(self) -> str:
        return (self.settings.mlflow_tracking_uri or self.embedded_mlflow_url).strip().rstrip("/")


def read_context(options: Mapping[str, Any]) -> DoctorContext:
    """Read the settings from the environment; `options`, by field name, take precedence.

    If a value is invalid, the other settings are still read.
    """
    wrong: dict[str, str] = {}
    try:
        settings = DoctorSettings(**options)
    except ValidationError as error:
        defaults = {}
        fields = {variable_of(DoctorSettings, name): name for name in DoctorSettings.model_fields}
        for item in error.errors(include_input=False, include_url=False):
            place = str(item["loc"][0])
            name = fields.get(place, place)
            wrong[variable_of(DoctorSettings, name)] = item["msg"].removeprefix("Value error, ")
            defaults[name] = DoctorSettings.model_fields[name].get_default()
        settings = DoctorSettings(**{**options, **defaults})
    return DoctorContext(settings, Home(settings.home.expanduser().absolute()), wrong)
