"""Runs and background jobs as a part of this process. The role `api` does not load this module."""

from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from runtime.engine.background import carried
from runtime.engine.clocks import ticking
from runtime.engine.service import Runtime
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.runs.mcp_programs import SandboxedPrograms
from runtime.runs.terminals import SandboxedTerminals


def everything(settings: Settings) -> Runtime:
    """All work of this process. Sets what operations need to run commands, terminals and programs in sandboxes."""
    work = Runtime(settings, jobs=carried(), clocks=ticking())
    instance.commands = SandboxedCommands(settings)
    instance.terminals = SandboxedTerminals(settings)
    instance.programs = SandboxedPrograms(settings)
    return work
