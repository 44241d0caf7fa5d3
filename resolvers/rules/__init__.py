"""Rules of single values: what a configuration, schedule or text may be, without rows, callers and connections."""
