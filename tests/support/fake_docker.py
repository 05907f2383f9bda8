"""A fake `docker` program for tests: it implements the calls of `docker compose` that Slipway makes.

Run as `fake_docker.py STATE ARGUMENTS…`. The folder STATE has

    config.json      the output of `docker compose config`
    running          the running services, one per line
    containers.jsonl the output of `docker compose ps --format json`
    cp/              the files that `docker compose cp` copies from a service
    failures.json    errors to print on standard error, by the beginning of the call, with exit code 1. A call that
                     hangs reads its input to the end and must then be terminated. A call that waits does so until
                     a test writes to the pipe `gate`, and then succeeds
    calls            every call, one per line, written by this program

`exec` runs the program, and `run objects` the job, in this process; variables set by the test select the servers.
"""

import json
import os
import sys
from pathlib import Path

HANG, WAIT = "hang", "wait"


def main() -> None:  # noqa: C901  # one branch for each kind of call
    state, arguments = Path(sys.argv[1]), sys.argv[2:]
    assert arguments[:3] == ["compose", "--progress", "quiet"], arguments
    arguments = arguments[3:]
    call = " ".join(arguments)
    with (state / "calls").open("a", encoding="utf-8") as calls:
        calls.write(f"{Path.cwd()}: {call}\n")
    failures = json.loads((state / "failures.json").read_text(encoding="utf-8"))
    for beginning, said in failures.items():
        if call.startswith(beginning):
            if said == HANG:
                sys.stdin.buffer.read()
            if said not in {HANG, WAIT}:
                sys.exit(said)
            (state / "gate").read_bytes()
    verb, names = arguments[0], [word for word in arguments[1:] if not word.startswith("-")]
    running = (state / "running").read_text(encoding="utf-8").split()
    if verb == "ps" and "json" in names:
        print((state / "containers.jsonl").read_text(encoding="utf-8"), end="")
    elif verb == "config" and "--services" in arguments:
        print("\n".join(json.loads((state / "config.json").read_text(encoding="utf-8"))["services"]))
    elif verb == "config":
        print((state / "config.json").read_text(encoding="utf-8"))
    elif verb == "ps":
        print("\n".join(running))
    elif verb in {"stop", "up"}:
        left = [service for service in running if service not in names]
        (state / "running").write_text("\n".join(left + (names if verb == "up" else [])), encoding="utf-8")
    elif verb == "cp":
        copy(state, *names)
    elif verb == "exec":
        command = arguments[3:]
        os.execvp(command[0], command)  # noqa: S606
    elif names[1:2] in (["objects-out"], ["objects-in"]):
        os.execv(sys.executable, [sys.executable, "-m", "slipway_cli.stack_jobs", *names[1:]])  # noqa: S606


def copy(state: Path, source: str, destination: str) -> None:
    """Copy `SERVICE:/path`, which is below the folder `cp` of the state, as a container's read-only file."""
    Path(destination).write_bytes((state / "cp" / source.partition(":/")[2]).read_bytes())
    Path(destination).chmod(0o400)


if __name__ == "__main__":
    main()
