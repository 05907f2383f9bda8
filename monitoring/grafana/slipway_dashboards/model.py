"""Model: predictions, confidence, live accuracy, input ranges and loads of each version."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from slipway_dashboards import served
from slipway_dashboards.frame import frame
from slipway_dashboards.panels import (
    GREEN,
    NONE_IS_GOOD,
    RED,
    YELLOW,
    About,
    Panel,
    Query,
    heat_map,
    lines,
    value,
)
from slipway_dashboards.queries import (
    CONFIDENCE,
    LEGEND,
    MODEL,
    REFERENCE,
    ROWS,
    VERSION,
    WINDOW,
    increase,
    or_no_classifier,
    or_no_model,
    or_no_regressor,
    or_say,
    or_served,
    or_zero,
    quantile,
    rate,
)

INFERENCE = "slipway_inference_duration_seconds"
VALUE = "slipway_prediction_value"
UNSURE = "0.6"


def dashboard() -> Dashboard:
    """Return the dashboard."""
    return frame(
        "slipway-model",
        "Slipway / Model",
        "What does each version predict, how confident and accurate is it, and do its inputs match its training data?",
        {
            "Served": _served(),
            "Predictions": _predictions(),
            "Confidence": _confidence(),
            "Feedback": _feedback(),
            "Loads": _loads(),
        },
        by_model=True,
    )


def _served() -> list[Panel]:
    return [
        served.versions(width=12),
        value(
            About("Predicted rows", "Predicted rows in the selected time range.", "short"),
            Query(or_zero(increase(ROWS, MODEL))),
        ),
        value(
            About("Rows with feedback", "Rows with feedback in the selected time range.", "short"),
            Query(or_zero(increase("slipway_feedback_rows_total", MODEL))),
        ),
        value(
            About(
                "Unusable answers",
                "Predictions that failed or had an invalid result, in the selected time range. Roll back the model.",
                "none",
            ),
            Query(or_zero(increase("slipway_model_unusable_answers_total", MODEL))),
            steps=NONE_IS_GOOD,
        ),
    ]


def _predictions() -> list[Panel]:
    by_class = f"{VERSION}, class"
    outside = rate("slipway_prediction_out_of_range_values_total", MODEL, by=VERSION)
    by_feature = rate("slipway_prediction_out_of_range_values_total", MODEL, by=f"{VERSION}, feature")
    rows = rate(ROWS, MODEL, by=VERSION)
    # Negative values decrease a sum. `rate` would treat that as a restart; `delta` does not.
    total, count = (f"sum by ({VERSION}) (delta({VALUE}_{part}{{{MODEL}}}[{WINDOW}]))" for part in ("sum", "count"))
    return [
        lines(
            About("Rows by class", "Rows per second by predicted class.", "rows/s", "no classifier is served"),
            Query(or_no_classifier(rate("slipway_predictions_total", MODEL, by=by_class)), f"{LEGEND}: {{{{class}}}}"),
            is_stacked=True,
        ),
        lines(
            About(
                "Share of each class",
                "The share of each class in a version's rows. A shift means that the inputs or the world have changed.",
                "percentunit",
                "no predictions",
            ),
            Query(
                or_no_classifier(
                    f"{rate('slipway_predictions_total', MODEL, by=by_class)} / on ({VERSION}) group_left () "
                    f"{rate('slipway_predictions_total', MODEL, by=VERSION)}"
                ),
                f"{LEGEND}: {{{{class}}}}",
            ),
            most=1,
        ),
        lines(
            About(
                "Mean predicted value (target's unit)",
                "Regressors: the mean of the predicted values, in the unit of the model's target.",
                "none",
                "no predictions",
            ),
            Query(or_no_regressor(f"{total} / ({count} >= 0)"), LEGEND),
            can_be_negative=True,
        ),
        served.predicted_rows(width=12),
        lines(
            About(
                "Values outside the training range",
                "Feature values per row outside the range of the training rows, for which the model was not trained.",
                "values/row",
                "no model is served",
            ),
            Query(or_no_model(f"{outside} / clamp_min({rows}, 1e-9)"), LEGEND),
            steps=((None, GREEN), (0.1, YELLOW), (1, RED)),
        ),
        lines(
            About(
                "Rows outside the training range by feature",
                "The share of rows with a feature outside its range in the training rows; the top ten features.",
                "percentunit",
                "no model is served",
            ),
            Query(
                or_no_model(
                    f"topk(10, {by_feature} / on ({VERSION}) group_left () clamp_min({rows}, 1e-9))",
                ),
                f"{LEGEND}: {{{{feature}}}}",
            ),
            steps=((None, GREEN), (0.01, YELLOW), (0.1, RED)),
            most=1,
        ),
        lines(
            About(
                "Inference time",
                "The time within which the graph alone processed 50 and 95 % of the requests.",
                "s",
                "no predictions",
            ),
            *(
                Query(or_no_model(quantile(percent / 100, INFERENCE, MODEL, by=VERSION)), f"{LEGEND} p{percent}")
                for percent in (50, 95)
            ),
        ),
    ]


def _confidence() -> list[Panel]:
    unsure = rate(f"{CONFIDENCE}_bucket", f'{MODEL}, le="{UNSURE}"', by=VERSION)
    mean = f"{rate(f'{CONFIDENCE}_sum', MODEL, by=VERSION)} / {rate(f'{CONFIDENCE}_count', MODEL, by=VERSION)}"
    return [
        heat_map(
            About(
                "Confidence, heat map",
                "The number of rows by the probability of the predicted class.",
                "percentunit",
                "no predictions",
            ),
            Query(or_say(f"sum by (le) (increase({CONFIDENCE}_bucket{{{MODEL}}}[{WINDOW}]))", le="1.0"), "{{le}}"),
        ),
        lines(
            About(
                "Mean confidence",
                "The mean probability of the predicted class; it decreases if rows differ from the training rows.",
                "percentunit",
                "no predictions",
            ),
            Query(or_no_classifier(mean), LEGEND),
            most=1,
            width=6,
        ),
        lines(
            About(
                "Low-confidence predictions",
                f"The share of rows whose predicted class has a probability of at most {UNSURE}.",
                "percentunit",
                "no predictions",
            ),
            Query(or_no_classifier(f"{unsure} / {rate(f'{CONFIDENCE}_count', MODEL, by=VERSION)}"), LEGEND),
            most=1,
            width=6,
        ),
    ]


def _feedback() -> list[Panel]:
    def live(series: str, kind: str) -> str:
        return or_served(f"max by ({VERSION}) ({series}{{{MODEL}}})", kind)

    return [
        served.live_accuracy(width=12),
        lines(
            About(
                "Live error (target's unit)",
                "Regressors: mean absolute error (MAE) and root mean squared error (RMSE) over the rows with feedback "
                "in the window, in the unit of the model's target.",
                "none",
                "no feedback yet",
            ),
            Query(or_no_regressor(live("slipway_live_mean_absolute_error", f"{VALUE}_count")), f"{LEGEND} MAE"),
            Query(or_no_regressor(live("slipway_live_root_mean_squared_error", f"{VALUE}_count")), f"{LEGEND} RMSE"),
        ),
        lines(
            About(
                "Rows with feedback in the window",
                "The number of rows behind the live figures; figures of a few rows are not reliable.",
                "none",
                "no feedback yet",
            ),
            Query(or_no_model(live("slipway_live_feedback_rows", ROWS)), LEGEND),
        ),
        lines(
            About("Feedback", "Rows per second that received feedback.", "rows/s", "no model is served"),
            Query(or_no_model(rate("slipway_feedback_rows_total", MODEL, by=VERSION)), LEGEND),
        ),
    ]


def _loads() -> list[Panel]:
    def by_model(query: str) -> str:
        return or_say(query, model="no model is served")

    return [
        lines(
            About(
                "Loads",
                "Loaded versions and failed attempts, per minute or longer interval.",
                "none",
                "no model is served",
            ),
            Query(
                by_model(increase("slipway_model_loads_total", REFERENCE, by="model", window=WINDOW)),
                "{{model}} loaded",
            ),
            Query(
                by_model(increase("slipway_model_load_failures_total", REFERENCE, by="model", window=WINDOW)),
                "{{model}} failed",
            ),
        ),
        value(
            About(
                "Cannot be loaded",
                "Whether the current version cannot be loaded. GET /models/{name} gives the reason.",
                "none",
                "no model is served",
            ),
            Query(by_model(f"max by (model) (slipway_model_load_failing{{{REFERENCE}}})"), "{{model}}"),
            steps=NONE_IS_GOOD,
            texts=("served", "cannot be loaded"),
        ),
        value(
            About(
                "Not in the cache",
                "Whether the served version is missing in the bundle cache; a restart then needs the registry.",
                "none",
                "no model is served",
            ),
            Query(by_model(f"max by (model) (slipway_model_not_cached{{{REFERENCE}}})"), "{{model}}"),
            steps=((None, GREEN), (1, YELLOW)),
            texts=("cached", "not cached"),
        ),
        value(
            About(
                "No Production alias",
                "Whether a served model has no Production alias; the API continues to serve its last version.",
                "none",
                "no data yet",
            ),
            Query(by_model(f"max by (model) (slipway_model_alias_missing{{{MODEL}}})"), "{{model}}"),
            steps=((None, GREEN), (1, YELLOW)),
            texts=("Production", "no alias"),
        ),
    ]
