"""The reference for the hot path: a validated FastAPI POST that does nothing, on the same uvicorn."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Row(BaseModel):
    """One row, as a client of /predict sends it."""

    features: list[float]


@app.post("/predict")
async def empty(row: Row) -> None:
    """Validate the row and return nothing."""


@app.get("/health/ready")
async def ready() -> None:
    """Return 200 once the server listens."""


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False)
