"""Bundles: the file format of backups. This package knows no tables and no database; see docs/backups.md."""
