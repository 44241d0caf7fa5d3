"""Processes that execute runs, and the means of each to run commands."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import Index

from models.base import Table, json_field, stored_at, text_field
from models.bounds import LINE, NOTES
from models.expiry import Expires
from models.personal_data import NOTHING


class Worker(Table, table=True):
    """Written by the process itself, again and again while it lives."""

    __tablename__ = "workers"
    __expires__: ClassVar = Expires("seen_at", timedelta(days=1))
    __table_args__ = (Index("workers_seen_at_idx", "seen_at"),)
    runtime: str | None = text_field(LINE, default=None, holds=NOTHING)
    """The program that creates the boundary around agents' commands; null: the worker runs none."""
    version: str | None = text_field(LINE, default=None, holds=NOTHING)
    coding_agents: list[dict[str, Any]] | None = json_field(NOTES, default=None, holds=NOTHING)
    """The coding agents with their versions, and why others are missing; null: not reported."""
    seen_at: datetime = stored_at()
