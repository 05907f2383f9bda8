"""`register`: make a bundle of a model that Slipway did not train, and register it."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from slipway_core.current_user import current_user
from slipway_core.errors import ConfigurationError
from slipway_core.printable import printable
from slipway_core.registry.gate_result import PromoteMode
from slipway_core.registry.promotion import require_signer
from slipway_core.startup import quick_imports
from slipway_core.terminal import SafeConsole
from slipway_trainer.settings import TrainerSettings, start

if TYPE_CHECKING:
    from slipway_trainer.foreign.registering import Registered

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
_LIMIT = re.compile(r"(?P<metric>[a-z0-9_]+)=(?P<limit>-?\d+(\.\d+)?)", re.ASCII)

MetricOption = Annotated[
    str | None,
    typer.Option(
        help="The metric of the comparison with Production. Defaults to roc_auc for two classes, balanced_accuracy "
        "for more, and mae for numbers."
    ),
]
FloorOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METRIC=VALUE",
        help="Promote only if the metric is at least the value, or at most, if lower is better; may be repeated.",
    ),
]


@dataclass(frozen=True)
class _Options:
    """The options of the command, as described there; `limits` are its floors."""

    name: str
    model: str | None
    onnx: str | None
    data: str | None
    target: str | None
    trust: bool
    metric: str | None
    limits: Mapping[str, float]
    promote: PromoteMode


def register(
    name: Annotated[str, typer.Argument(help="The name of the model to register.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="The model in MLflow: `models:/their-model/3`, `models:/their-model@alias` or `runs:/RUN_ID/PATH`."
        ),
    ] = None,
    onnx: Annotated[str | None, typer.Option(help="Instead of --model: an ONNX file.")] = None,
    data: Annotated[
        str | None, typer.Option(help="A CSV file with rows as the model takes them; `s3://bucket/…` works too.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The column of the data with the true values, to score the model.")
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Load a model whose file can run code, such as a pickle; only if you trust its author."
        ),
    ] = False,
    metric: MetricOption = None,
    floor: FloorOption = None,
    promote: Annotated[
        PromoteMode,
        typer.Option(help="auto: promote if the gate passes; never: only register; force: promote in any case."),
    ] = "auto",
    password_file: Annotated[
        str | None, typer.Option(hidden=True, help="The file with the administrator's password, to print its use.")
    ] = None,
) -> None:
    """Register a model that Slipway did not train: load → convert to ONNX → compare → score → register → promote.

    Takes models of mlflow.sklearn, mlflow.xgboost, mlflow.lightgbm and mlflow.onnx. Requires MLFLOW_TRACKING_URI.
    Exits with 1 if a step or the gate failed; the served model does not change then.
    Example: `slipway register churn --model models:/their-model/3 --data rows.csv --target churned`
    """
    options = _Options(name, model, onnx, data, target, trust, metric, _limits(floor or []), promote)
    _check(options)
    settings = start()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    registered = _run(options, settings)
    if registered.gate_result.promote:
        _print_next_steps(settings, name, registered.example, data, password_file)
    elif promote != "never":
        raise typer.Exit(1)


def _run(options: _Options, settings: TrainerSettings) -> "Registered":
    """Register the model as the options say."""
    signer = settings.signer()
    with settings.open_registry() as registry, TemporaryDirectory(prefix="slipway-model-") as workdir:
        # Fail before the imports, which take seconds.
        models = {found.name: found for found in registry.list_models()}
        if options.promote != "never" and options.name in models:
            require_signer(models[options.name], signer)
        with quick_imports():
            from slipway_trainer.foreign.data import data_file  # noqa: PLC0415
            from slipway_trainer.foreign.registering import Request, register_model  # noqa: PLC0415
            from slipway_trainer.foreign.source import from_file, from_mlflow  # noqa: PLC0415
            from slipway_trainer.inference.files import read_data  # noqa: PLC0415
            from slipway_trainer.steps.extract import mount_hint  # noqa: PLC0415
            from slipway_trainer.terminal import Terminal  # noqa: PLC0415
            from slipway_trainer.tracking import Tracker  # noqa: PLC0415

        # It sets the address of MLflow's functions, too.
        tracker = Tracker(settings.mlflow_tracking_uri, settings.mlflow_public_url)
        rows = None
        if options.data is not None:
            rows = data_file(options.data, read_data(options.data, mount_hint(settings.data_dir)), options.target)
        if options.model is not None:
            source = from_mlflow(options.model, registry, Path(workdir))
        else:
            source = from_file(str(options.onnx))
        request = Request(
            options.name,
            rows,
            trust=options.trust,
            promote=options.promote,
            metric=options.metric,
            limits=options.limits,
        )
        with Terminal(SafeConsole()) as terminal:
            return register_model(
                source,
                request,
                tracker=tracker,
                registry=registry,
                by=current_user(),
                reporter=terminal,
                signer=signer,
                trusted=settings.read_trusted_keys(),
            )


def _check(given: _Options) -> None:
    """Check the options that do not need the registry.

    Raises:
        typer.BadParameter: options are missing, or do not belong together.
        ConfigurationError: the name is invalid.
    """
    if not _NAME.fullmatch(given.name):
        raise ConfigurationError(
            f"{printable(given.name)!r} cannot be the name of a model: begin with a lower-case letter or a digit, and "
            "use only these, '.', '_' and '-', such as wine-quality"
        )
    if (given.model is None) == (given.onnx is None):
        raise typer.BadParameter(
            "pass one of them: the address of a model in MLflow, or an ONNX file", param_hint="--model / --onnx"
        )
    if given.target is not None and given.data is None:
        raise typer.BadParameter("it is a column of the data, so pass --data rows.csv, too", param_hint="--target")
    if given.target is None and (given.metric is not None or given.limits):
        raise typer.BadParameter(
            "the model is scored only with true values; pass --data rows.csv --target COLUMN",
            param_hint="--metric / --floor",
        )


def _limits(floors: list[str]) -> Mapping[str, float]:
    limits = {}
    for text in floors:
        if (match := _LIMIT.fullmatch(text)) is None:
            raise typer.BadParameter(
                f"{printable(text)!r} must be METRIC=VALUE, such as accuracy=0.9", param_hint="--floor"
            )
        limits[match["metric"]] = float(match["limit"])
    return limits


def _print_next_steps(
    settings: TrainerSettings, name: str, row: Mapping[str, object], data: str | None, password_file: str | None
) -> None:
    from slipway_trainer.first_request import next_steps  # noqa: PLC0415

    example = json.dumps(dict(row), ensure_ascii=False)
    typer.echo(printable(f"\n{next_steps(settings, name, example, data, password_file)}"))
