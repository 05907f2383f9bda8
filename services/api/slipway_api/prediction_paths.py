"""The calls that predict, of every protocol."""

from slipway_api.routers import predict

ROUTERS = (predict.router,)
PREDICTION_PATHS = (*predict.PATHS,)
