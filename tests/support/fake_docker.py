"""The program `docker` of tests: it knows the calls of `docker compose` that our commands make, and no container.

Run as `fake_docker.py STATE ARGUMENTS…`. The folder STATE has

    config.json      what `docker compose config` prints
    running          the services that run, a line each
    containers.jsonl what `docker compose ps --format json` prints
    failures.json    by the beginning of a call, what it says on standard error; it ends with 1 then. One that is to
                     hang reads what it is given to its end before; one that is to wait does so until somebody writes to
                     the pipe `gate`, and does well
    calls            every call, a line each, written by this program

`exec` runs the program here, and `run objects` the job here; the test says by variables which servers they find.
"""

import json
import os
import sys
from pathlib import Path

HANG, WAIT = "hang", "wait"


def main() -> None:
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
            if said != WAIT:
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
    elif verb == "exec":
        command = arguments[3:]
        os.execvp(command[0], command)  # noqa: S606
    elif names[1:2] in (["objects-out"], ["objects-in"]):
        os.execv(sys.executable, [sys.executable, "-m", "slipway_cli.stack_jobs", *names[1:]])  # noqa: S606


if __name__ == "__main__":
    main()
