"""Sandboxes: where agents' commands run, and the boundary around them."""

from runtime.sandbox.boundary import NO_ENVIRONMENT, Finished, Isolation, Limits, Network, Report, Sandbox
from runtime.sandbox.detection import describe, detect
from runtime.sandbox.no_processes import refuse_processes
from runtime.sandbox.sums import require_room
from runtime.sandbox.unconfined import Unconfined
from runtime.sandbox.workdir import Workdir
