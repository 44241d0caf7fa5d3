"""GraphQL: charts."""

import strawberry

from resolvers.oversight import metrics as metric_ops
from schema.bridge.fields import output, query

output(
    metric_ops.MetricPoint,
    description="A bucket of a time series.",
    fields={"ts": "Start of the bucket.", "series": "Value of each series in the bucket, by key."},
)
output(
    metric_ops.TimeSeries,
    description=(
        "Buckets of a metric, oldest first and without gaps; the last one is the current one.\n\nWithout "
        "`groupBy` every bucket has the series `total`. Otherwise series without a value are omitted from a "
        "bucket."
    ),
    fields={"series_labels": "Label of each series that occurs, by key; at most the 100 series with the largest sums."},
)


@strawberry.type
class MetricQuery:
    metrics_timeseries = query(metric_ops.metrics_timeseries)
