"""GraphQL: charts."""

import strawberry

from resolvers.oversight import metrics as metric_ops
from schema.bridge.fields import output, query

output(
    metric_ops.MetricPoint,
    fields={"ts": "Start of the bucket.", "series": "Value of each series in the bucket, by key."},
)
output(
    metric_ops.TimeSeries,
    fields={"series_labels": "Label of each series that occurs, by key; at most the 100 series with the largest sums."},
)


@strawberry.type
class MetricQuery:
    metrics_timeseries = query(metric_ops.metrics_timeseries)
