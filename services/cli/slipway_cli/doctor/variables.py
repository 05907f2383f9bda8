"""Check the environment variables: misspelled names, invalid values, unreadable files."""

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning
from slipway_cli.doctor.stores import BUCKET_SECONDS, BUCKET_SILENT, BUCKET_SILENT_MEND, S3, halves
from slipway_cli.doctor.timeouts import within
from slipway_cli.settings import DoctorSettings
from slipway_core.errors import ConfigurationError, StorageError
from slipway_core.policy import new_key
from slipway_core.program import last_error
from slipway_core.settings import FILE_SUFFIX, SecretFileSource, reject_unknown_variables, variable_of
from slipway_core.storage import open_storage
from slipway_core.variables import PREFIX

API_CHECK_SECONDS = 12.0


def check_names(_context: DoctorContext) -> Iterator[Finding]:
    """Find variables with Slipway's prefix that no service uses."""
    unknown = _unknown_variables()
    for name, sentence in unknown.items():
        what, _, hint = sentence.partition("; ")
        near = hint.removeprefix("did you mean ").removesuffix("?") if hint.endswith("?") else ""
        rename = f"rename it to {near}, or " if near else ""
        yield broken("variables", what, f"{rename}remove it with `unset {name}`; .env.example lists the valid names")
    if not unknown:
        count = sum(name.startswith(PREFIX) for name in os.environ)
        yield ok("variables", f"{count} with the prefix {PREFIX}, none misspelled" if count else f"no {PREFIX}… is set")


def check_values(context: DoctorContext) -> Iterator[Finding]:
    """Find values that the command line or the API rejects."""
    refused = False
    for name, why in context.wrong_values.items():
        refused = True
        yield broken("values", f"{name}: {why}", f"change {name}; .env.example describes its values")
    sentence = _why_the_api_refuses(context)
    if sentence:
        yield broken("values", sentence, "change these settings; .env.example describes their values")
    elif not refused:
        yield ok("values", "every setting has a valid value")


def check_files(_context: DoctorContext) -> Iterator[Finding]:
    """Find unreadable files of secrets."""
    source = SecretFileSource(DoctorSettings)
    for name in sorted(DoctorSettings.file_fields):
        variable = variable_of(DoctorSettings, name) + FILE_SUFFIX
        path = os.environ.get(variable)
        if not path:
            continue
        try:
            value, _, _ = source.get_field_value(DoctorSettings.model_fields[name], name)
        except ConfigurationError as error:
            yield broken(
                variable,
                str(error),
                f"write the secret to that file and make it readable for this account, or `unset {variable}`",
            )
            continue
        if value is None:
            yield broken(variable, f"names an empty file: {path}", f"write the secret to it, or `unset {variable}`")
        else:
            yield ok(variable, "the file is readable")


def check_data_folder(context: DoctorContext) -> Iterator[Finding]:
    """Find a configured data folder or bucket that cannot be used."""
    location = context.settings.data_dir
    if location is None:
        return
    try:
        storage = open_storage(location)
        if location.startswith(S3):
            # The file need not exist: any response shows that the bucket can be reached.
            within(BUCKET_SECONDS, lambda: storage.exists("slipway"))
    except (ConfigurationError, StorageError, TimeoutError) as error:
        is_silent = isinstance(error, TimeoutError)
        what, mend = (BUCKET_SILENT, BUCKET_SILENT_MEND) if is_silent else halves(str(error))
        yield warning("data folder", f"SLIPWAY_DATA_DIR cannot be used: {what}", f"{mend}; or `unset SLIPWAY_DATA_DIR`")
        return
    if location.startswith(S3) or Path(storage.location).is_dir():
        yield ok("data folder", f"SLIPWAY_DATA_DIR is {location}")
    else:
        yield warning(
            "data folder",
            f"SLIPWAY_DATA_DIR is {location}, which is not a folder",
            f"create it with `mkdir -p {shlex.quote(storage.location)}`, or `unset SLIPWAY_DATA_DIR`; until then, "
            "recipes download their data",
        )


def _unknown_variables() -> dict[str, str]:
    """Return a description of each variable that no service uses."""
    found = {}
    for name in sorted(os.environ):
        try:
            reject_unknown_variables({name: ""})
        except ConfigurationError as error:
            found[name] = str(error)
    return found


def _why_the_api_refuses(context: DoctorContext) -> str:
    """Return the API's error about its settings; empty if they are valid.

    The API has settings that the command line does not know. They are validated in a separate process, because services
    do not import each other. Settings that other checks cover get valid values, so that no problem is reported twice.
    """
    if importlib.util.find_spec("slipway_api") is None or importlib.util.find_spec("fastapi") is None:
        return ""
    secrets = {variable_of(DoctorSettings, name) for name in DoctorSettings.file_fields}
    hidden = {*secrets, *(name + FILE_SUFFIX for name in secrets), *context.wrong_values, *_unknown_variables()}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"SECRET_KEY": new_key(), "MLFLOW_TRACKING_URI": context.embedded_mlflow_url}
    done = subprocess.run(
        [sys.executable, "-m", "slipway_api", "check"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=API_CHECK_SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return last_error(done.stderr) or "the API cannot read its settings"
