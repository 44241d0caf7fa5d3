"""REST: charts."""

from resolvers.oversight import metrics
from rest_compat.http.table import GET

ROUTES = (GET("/api/v1/metrics/timeseries", metrics.metrics_timeseries, metrics.TimeSeries),)
