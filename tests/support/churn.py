"""Customers of an invented telephone company, as a CSV file of mixed types."""

import numpy as np
import pandas as pd

CONTRACTS = ("Month-to-month", "One year", "Two year")
PAYMENTS = ("Bank transfer", "Credit card", "Electronic check", "Mailed check")
ZIP_CODES = ("01067", "04109", "10115", "20095", "80331")


def churn_csv(rows: int = 800, seed: int = 7) -> bytes:
    """Return text, gaps, dates, truth values, identifiers, codes, free text and a target that they predict."""
    random = np.random.default_rng(seed)
    tenure = random.integers(0, 73, rows)
    contract = random.choice(CONTRACTS, rows, p=[0.55, 0.25, 0.2])
    charges = np.round(random.uniform(18, 118, rows), 2)
    support = random.choice(["yes", "no"], rows)
    score = -0.8 - 0.04 * tenure + 1.6 * (contract == CONTRACTS[0]) + 0.015 * (charges - 60) - 0.8 * (support == "yes")
    frame = pd.DataFrame(
        {
            "customerID": [f"C{number:05d}" for number in random.permutation(rows)],
            "signup": pd.Timestamp("2021-01-01") + pd.to_timedelta(random.integers(0, 1800, rows), unit="D"),
            "tenure": tenure,
            "contract": contract,
            "monthly charges (EUR)": charges,
            # A program wrote a space for customers without a bill.
            "total": np.where(tenure == 0, " ", np.round(tenure * charges, 2).astype(str)),
            "payment": random.choice(PAYMENTS, rows),
            "support": support,
            "paperless": random.random(rows) < 0.6,
            "zip": random.choice(ZIP_CODES, rows),
            "country": "DE",
            "comment": [f"note {number}" for number in random.integers(0, 10**6, rows)],
            "churned": np.where(random.random(rows) < 1 / (1 + np.exp(-2 * score)), "yes", "no"),
        }
    )
    frame.loc[random.random(rows) < 0.05, "payment"] = np.nan
    frame.loc[random.random(rows) < 0.03, "monthly charges (EUR)"] = np.nan
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text.encode()
