"""Generated bike rentals: the schema of the recipe's data, without its file.

The counts depend on the hour, working days, temperature and rain, and to a small part on chance.
"""

import functools

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from slipway_trainer.overrides import override
from slipway_trainer.recipes.bike_demand import RECIPE
from slipway_trainer.step_results import Dataset
from support.trained import Trained, trained

BIKE = RECIPE
CANDIDATES = tuple(candidate.name for candidate in BIKE.candidates)
# The recipe with few enough fits for a test.
SMALL = ("folds=2", "n_estimators=20", "max_iter=40", "max_leaf_nodes=15")
QUICK_BIKE = override(BIKE, SMALL)
N_ROWS = 744


def bike_frame(seed: int = 2011) -> pd.DataFrame:
    """Return 744 rows in the format of the file: every hour of each twelfth day of a year, in chronological order."""
    random = np.random.default_rng(seed)
    days = pd.date_range("2011-01-01", "2011-12-31", freq="12D")
    hours = pd.DataFrame([(day, hour) for day in days for hour in range(24)], columns=["day", "hr"])
    day, hr = hours["day"].dt, hours["hr"].to_numpy()
    n_days, n_rows = len(days), len(hours)
    holiday = np.repeat(np.arange(n_days) % 10 == 3, 24)
    weekday = (day.dayofweek.to_numpy() + 1) % 7
    working = (weekday > 0) & (weekday < 6) & ~holiday
    weather = np.repeat(random.choice([1, 2, 3], size=n_days, p=[0.6, 0.3, 0.1]), 24)
    year = np.sin((day.dayofyear.to_numpy() - 110) / 365 * 2 * np.pi)
    temp = np.clip(0.5 + 0.3 * year + 0.08 * np.sin((hr - 9) / 12 * np.pi) + random.normal(0, 0.03, n_rows), 0.02, 1)
    humidity = np.clip(0.55 + 0.12 * weather - 0.2 * (temp - 0.5) + random.normal(0, 0.08, n_rows), 0, 1)
    commuters = np.exp(-((hr - 8) ** 2) / 3) + 1.2 * np.exp(-((hr - 17.5) ** 2) / 5)
    strollers = np.exp(-((hr - 14) ** 2) / 24)
    demand = np.where(working, 300 * commuters, 0) + np.where(working, 60, 220) * strollers + 8
    demand = demand * (0.4 + 1.2 * temp) * np.array([0, 1.0, 0.85, 0.5])[weather]
    count = random.poisson(demand * random.lognormal(0, 0.12, n_rows))
    casual = random.binomial(count, np.where(working, 0.12, 0.35))
    return pd.DataFrame(
        {
            "instant": np.arange(1, n_rows + 1),
            "dteday": day.strftime("%Y-%m-%d"),
            "season": (day.month.to_numpy() % 12) // 3 + 1,
            "yr": 0,
            "mnth": day.month.to_numpy(),
            "hr": hr,
            "holiday": holiday.astype(int),
            "weekday": weekday,
            "workingday": working.astype(int),
            "weathersit": weather,
            "temp": temp.round(2),
            "atemp": (0.9 * temp + 0.03 + random.normal(0, 0.02, n_rows)).round(4),
            "hum": humidity.round(2),
            "windspeed": random.gamma(4, 0.05, n_rows).round(4),
            "casual": casual,
            "registered": count - casual,
            "cnt": count,
        }
    )


def bike_dataset() -> Dataset:
    """Return the rows as if they were read from a file."""
    return Dataset(bike_frame(), "sha256:" + "b" * 64, "made-up rows")


@functools.cache
def trained_bike() -> Trained:
    """Return the results up to the evaluations."""
    # One thread: the threads of the histograms wait for each other in a loop, for minutes if a core is busy.
    with threadpool_limits(1):
        return trained(QUICK_BIKE, bike_dataset())
