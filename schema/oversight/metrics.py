"""GraphQL: charts."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from resolvers.oversight import metrics as metric_ops
from schema.bridge.fields import output, query


@output(metric_ops.MetricPoint)
class MetricPointType:
    """A bucket of a time series."""

    ts: datetime = strawberry.field(description="Start of the bucket.")
    series: JSON = strawberry.field(description="Value of each series in the bucket, by key.")


@output(metric_ops.TimeSeries)
class TimeSeriesType:
    """Buckets of a metric, oldest first and without gaps; the last one is the current one.

    Without `groupBy` every bucket has the series `total`. Otherwise series without a value are left out of a bucket.
    """

    metric: metric_ops.Metric
    window: str
    bucket: str
    group_by: metric_ops.MetricGroupBy
    buckets: list[MetricPointType]
    series_labels: JSON = strawberry.field(
        description="Label of each series that occurs, by key; at most the 100 series with the largest sums."
    )


@strawberry.type
class MetricQuery:
    metrics_timeseries = query(metric_ops.metrics_timeseries, TimeSeriesType)
