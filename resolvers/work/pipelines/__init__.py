"""Pipelines, their runs and steps. No operation is offered yet."""
