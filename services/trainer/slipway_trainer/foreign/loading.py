"""Load the estimator of a downloaded model. Formats that can run code are loaded only if the user trusts the model."""

import importlib
import importlib.util
import warnings
from pathlib import Path
from typing import Any

from slipway_trainer.errors import ForeignModelError, reason_of
from slipway_trainer.foreign.boosters import from_lightgbm_booster, from_xgboost_booster
from slipway_trainer.foreign.source import Source

_XGBOOST_CLASSES = ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")
_BOOSTER = "lightgbm.basic.Booster"
_BOOSTING = "requires the extra `boosting`: pip install 'slipway[boosting]'"
# skops does not list them as safe, but they only hold values.
_SAFE_TYPES = frozenset({"numpy.dtype", "collections.OrderedDict"})
SHOWN_TYPES = 3


def load_estimator(source: Source, *, trust: bool) -> Any:  # noqa: ANN401  # estimators have no common type
    """Return the estimator of a source, with scikit-learn's interface.

    Raises:
        ForeignModelError: the model is not trusted, a library is missing, or the file cannot be loaded.
    """
    if source.flavor in {"xgboost", "lightgbm"} and importlib.util.find_spec(source.flavor) is None:
        raise ForeignModelError(f"{source.uri} is a model of {source.flavor}, which {_BOOSTING}")
    with warnings.catch_warnings():
        # Models of other versions are compared with their graphs, like all models.
        warnings.simplefilter("ignore")
        try:
            return _LOADERS[source.flavor](source, trust)
        except ForeignModelError:
            raise
        except ModuleNotFoundError as error:
            advice = f"it {_BOOSTING}" if error.name in {"xgboost", "lightgbm"} else "install it beside the trainer"
            raise ForeignModelError(
                f"{source.uri} cannot be loaded without the module {error.name!r}; {advice}"
            ) from error
        except Exception as error:  # a pickle may raise anything
            raise ForeignModelError(
                f"{source.uri} cannot be loaded: {reason_of(error)}; if another version of its library wrote it, "
                "export it to ONNX there, and pass the file with --onnx"
            ) from error


def _load_sklearn(source: Source, trust: bool) -> Any:  # noqa: ANN401
    return _load_serialised(source, str(source.settings["pickled_model"]), trust)


def _load_lightgbm(source: Source, trust: bool) -> Any:  # noqa: ANN401
    file = str(source.settings["data"])
    if source.settings.get("model_class", _BOOSTER) != _BOOSTER:
        return _load_serialised(source, file, trust)
    import lightgbm  # noqa: PLC0415  # an optional library

    return from_lightgbm_booster(lightgbm.Booster(model_file=str(source.folder / file)))


def _load_serialised(source: Source, file: str, trust: bool) -> Any:  # noqa: ANN401
    """Load a pickle if it is trusted, or a file of skops whose types are safe or trusted."""
    if source.settings.get("serialization_format") != "skops":
        if not trust:
            raise ForeignModelError(_not_trusted(source, "is a pickle, and loading a pickle runs the code in it"))
        # MLflow's own loader, because the model may bring modules of its own. Each loader takes a second to import.
        return importlib.import_module(f"mlflow.{source.flavor}").load_model(str(source.folder))
    import skops.io  # noqa: PLC0415  # only some models need it

    path = source.folder / file
    # The list of trusted types in the MLmodel file is not read: the author of the model wrote it.
    types = skops.io.get_untrusted_types(file=path)
    unsafe = [name for name in types if name not in _SAFE_TYPES]
    if unsafe and not trust:
        listed = ", ".join(unsafe[:SHOWN_TYPES]) + (", …" if len(unsafe) > SHOWN_TYPES else "")
        raise ForeignModelError(
            _not_trusted(source, f"contains types that may run code when they are loaded ({listed})")
        )
    return skops.io.load(path, trusted=types)


def _not_trusted(source: Source, reason: str) -> str:
    return (
        f"{source.uri} {reason}, with the rights of the trainer; if you trust everyone who can write the model, "
        "repeat the command with --trust"
    )


def _load_xgboost(source: Source, _trust: bool) -> Any:  # noqa: ANN401
    import xgboost  # noqa: PLC0415  # an optional library

    # MLflow would import any class that the file names.
    name = str(source.settings.get("model_class", "xgboost.core.Booster")).rpartition(".")[2]
    file = Path(source.folder) / str(source.settings["data"])
    if name in _XGBOOST_CLASSES:
        estimator = getattr(xgboost, name)()
        estimator.load_model(file)
        return estimator
    if name != "Booster":
        raise ForeignModelError(
            f"{source.uri} is a {name}, and Slipway converts {', '.join(_XGBOOST_CLASSES)} and Booster; export it to "
            "ONNX, and pass the file with --onnx"
        )
    return from_xgboost_booster(xgboost.Booster(model_file=str(file)))


_LOADERS = {"sklearn": _load_sklearn, "lightgbm": _load_lightgbm, "xgboost": _load_xgboost}
