"""REST: charts."""

from resolvers import metrics
from rest_compat.table import GET

ROUTES = (GET("/api/v1/metrics/timeseries", metrics.metrics_timeseries, metrics.TimeSeries),)
