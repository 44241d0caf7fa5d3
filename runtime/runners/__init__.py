"""Runs whose tools are executed by a runner on another machine, and the execution there."""
