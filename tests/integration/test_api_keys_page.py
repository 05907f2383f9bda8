"""docs/api-keys.md: its commands run in their order against a real API, and its tables match the code."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_api.accounts.credentials import ACTIONS, DEFAULT_DAYS
from slipway_api.accounts.key_models import KeyAction
from slipway_api.accounts.key_repository import EXPIRED_DAYS, MAX_KEYS_OF_ACCOUNT
from slipway_api.accounts.models import Role
from support.api_process import PASSWORD, ApiProcess, api_process
from support.stack import bash

PAGE = (Path(__file__).parents[2] / "docs/api-keys.md").read_text(encoding="utf-8")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiProcess]:
    with api_process(tmp_path / "api") as api:
        yield api


@pytest.mark.slow
def test_commands_of_the_page_work_in_order(api: ApiProcess, tmp_path: Path) -> None:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    login, add, header, request, predict, listing, revoke, logout = blocks

    def paste(command: str) -> str:
        settings = f"set -e; export HOME={tmp_path} PATH={Path(sys.prefix) / 'bin'}:$PATH COLUMNS=300"
        return bash(f"{settings}\n{command.replace('http://127.0.0.1:8000', api.url)}", tmp_path)

    paste(f"printf '%s' '{PASSWORD}' | {login.strip()} --password-stdin")
    paste(add)
    key = (tmp_path / "nightly-scores.key").read_text()
    assert key.startswith("slk_")
    paste(header)
    assert (tmp_path / "nightly-scores.header").stat().st_mode & 0o777 == 0o600
    assert '"label":["' in paste(request)
    assert "iris" in paste(predict)
    # A key that may only predict.
    paste("slipway keys add predict-only --out predict-only.key")
    command = predict.replace("nightly-scores.key", "predict-only.key")
    assert "setosa" in paste(command)
    with_file = command.replace("--features 5.1,3.5,1.4,0.2", "--csv - <<< 5.1,3.5,1.4,0.2 2>&1 || true")
    assert "use a key with the action read" in paste(with_file)
    (row,) = [line for line in paste(listing).splitlines() if "nightly-scores" in line]
    key_id = row.split()[-1]
    assert key[4:36] == key_id.replace("-", "")
    (created,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert api.call("POST", "/keys", json=json.loads(created)).status_code == 201

    assert key_id in paste(revoke.replace("ID", key_id))
    assert "401" in paste(request.replace("-sS", "-sS -o /dev/null -w '%{http_code}'"))
    assert "Logged out" in paste(logout)
    assert "not logged in" in paste(f"{listing.strip()} 2>&1 || true")


def test_tables_of_the_page_match_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", PAGE, re.MULTILINE)
    shown = {action: roles for action, roles in rows if action in set(KeyAction)}
    permitted = {
        action: [role for role in ("viewer", "user", "admin") if action in ACTIONS[Role(role)]] for action in KeyAction
    }
    texts: dict[tuple[str, ...], str] = {("viewer", "user", "admin"): "all; predictions only `user` and `admin`"}

    assert shown == {
        action: texts.get(tuple(roles), ", ".join(f"`{role}`" for role in roles)) for action, roles in permitted.items()
    }
    assert f"`{DEFAULT_DAYS}d`" in PAGE
    assert f"it stays in the list for {EXPIRED_DAYS} days" in PAGE
    assert f"An account can have {MAX_KEYS_OF_ACCOUNT} keys" in PAGE
