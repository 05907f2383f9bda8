"""The calls that predict, of every protocol."""

from slipway_api.web.routers import open_inference, predict, scoring

ROUTERS = (predict.router, open_inference.described, scoring.described)
PREDICTION_PATHS = (*predict.PATHS, *open_inference.PATHS, *scoring.PATHS)
# What OpenAPI describes of their bodies and no route of FastAPI's declares.
BODIES = (open_inference.InferRequest, *scoring.FORMS)
