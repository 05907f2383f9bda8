"""`slipway register`: make a bundle of a model that Slipway did not train, by the trainer in a separate process."""

import os
from typing import Annotated

import typer

from slipway_cli.commands.trainer_process import api_arguments, run_trainer
from slipway_core.registry.gate_result import PromoteMode

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


def register(
    context: typer.Context,
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
) -> None:
    """Register a model that Slipway did not train: load → convert to ONNX → compare → score → register → promote.

    Takes models of mlflow.sklearn, mlflow.xgboost, mlflow.lightgbm and mlflow.onnx. Requires MLFLOW_TRACKING_URI.
    Exits with 1 if a step or the gate fails; the served model does not change.
    Example: `slipway register churn --model models:/their-model/3 --data rows.csv --target churned`
    """
    arguments = ["register", name]
    options = (
        ("--model", model),
        ("--onnx", onnx),
        ("--data", data),
        ("--target", target),
        ("--metric", metric),
        *(("--floor", limit) for limit in floor or []),
        ("--promote", promote if promote != "auto" else None),
    )
    for option, value in options:
        if value is not None:
            arguments += [option, value]
    if trust:
        arguments.append("--trust")
    environment = dict(os.environ)
    run_trainer(context, [*arguments, *api_arguments(environment)], environment)
