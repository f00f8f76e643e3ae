"""Reading and writing the tables shared with the backend, each repository in its caller's transaction."""

from consumer.db.repositories.classification_repo import ClassificationRepository
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.repositories.forecast_repo import ForecastRepository
from consumer.db.repositories.time_series_repo import TimeSeriesRepository

__all__ = ["ClassificationRepository", "ExecutionRepository", "ForecastRepository", "TimeSeriesRepository"]
