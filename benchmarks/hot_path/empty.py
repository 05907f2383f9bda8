"""What the hot path is measured against: FastAPI's own validated POST that does nothing, on the same uvicorn."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Row(BaseModel):
    """One row, as a client of /predict sends it."""

    features: list[float]


@app.post("/predict")
async def empty(row: Row) -> None:  # it is validated, and that is all
    """Answer nothing."""


@app.get("/health/ready")
async def ready() -> None:
    """Answer when it listens."""


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False)
