"""Processes that carry out runs, and what each of them can run commands with."""

from datetime import datetime

from sqlalchemy import Index

from models.base import Table, stored_at, text_field
from models.bounds import LINE


class Worker(Table, table=True):
    """Written by the process itself, again and again while it lives."""

    __tablename__ = "workers"
    __table_args__ = (Index("workers_seen_at_idx", "seen_at"),)
    runtime: str | None = text_field(LINE, default=None)
    """What draws the boundary around agents' commands; null: it runs none."""
    version: str | None = text_field(LINE, default=None)
    seen_at: datetime = stored_at()
