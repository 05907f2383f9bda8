"""The prediction endpoints of all protocols."""

from slipway_api.web.routers import open_inference, predict, scoring

ROUTERS = (predict.router, open_inference.described, scoring.described)
PREDICTION_PATHS = (*predict.PATHS, *open_inference.PATHS, *scoring.PATHS)
# Request bodies for OpenAPI that no FastAPI route declares.
BODIES = (open_inference.InferRequest, *scoring.FORMS)
