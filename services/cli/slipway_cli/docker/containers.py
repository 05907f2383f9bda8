"""The state of the compose stack's containers, as reported by Docker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from slipway_cli.docker.compose_project import ComposeProject

# Services that exit when their work is done. All others keep running.
JOBS = frozenset({"secrets", "init", "trainer", "objects"})


@dataclass(frozen=True)
class Container:
    """One container.

    Attributes:
        service: its name in the compose file.
        state: `running`, `exited`, `restarting` and so on.
        health: `healthy`, `unhealthy` or `starting`; empty without a health check.
        ports: the ports on the host, by port in the container.
    """

    service: str
    state: str
    health: str
    exit_code: int
    ports: dict[int, int]

    @property
    def is_done(self) -> bool:
        """Whether it is a job that succeeded."""
        return self.service in JOBS and self.state == "exited" and self.exit_code == 0

    @property
    def is_well(self) -> bool:
        """Whether it is healthy, or a job that succeeded."""
        return self.is_done or (self.state == "running" and self.health in {"healthy", ""})


def containers(project: ComposeProject) -> Sequence[Container]:
    """Return the containers of a project, including exited ones.

    Raises:
        StackError: Docker is not installed, or the command failed.
    """
    described = [json.loads(line) for line in project.call("ps", "--all", "--format", "json").splitlines()]
    return [
        Container(
            one["Service"],
            one["State"],
            one["Health"],
            one["ExitCode"],
            {port["TargetPort"]: port["PublishedPort"] for port in one["Publishers"] or () if port["PublishedPort"]},
        )
        for one in described
    ]
