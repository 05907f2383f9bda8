"""The routes of the API."""

from slipway_api.web.routers import (
    account_models,
    candidates,
    health,
    keys,
    kserve_v1,
    login,
    me,
    models,
    open_inference,
    predict,
    predictions,
    promotion,
    scoring,
    users,
)

ROUTERS = (
    predictions.router,
    models.router,
    candidates.router,
    promotion.router,
    login.router,
    me.router,
    users.router,
    keys.router,
    health.router,
    open_inference.router,
    kserve_v1.router,
    scoring.router,
)
# The prediction endpoint serves these paths; FastAPI only describes them.
PREDICTION_PATHS = (*predict.PATHS, *open_inference.PATHS, *kserve_v1.PATHS, *scoring.PATHS)
DESCRIBED_ROUTERS = (predict.router, open_inference.described, kserve_v1.described, scoring.described)
# Request bodies for OpenAPI that no FastAPI route declares.
BODIES = (
    *account_models.BODIES,
    *keys.BODIES,
    *login.BODIES,
    *predictions.BODIES,
    *promotion.BODIES,
    open_inference.InferRequest,
    *scoring.FORMS,
)
