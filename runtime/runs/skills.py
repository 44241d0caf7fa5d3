"""Skills of an agent, in the Agent Skills format: the prompt names each with its purpose, and its SKILL.md is in a
folder of its own, which the agent reads when it needs the skill.
"""

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from xml.sax.saxutils import escape

from resolvers.instance.telemetry import log
from resolvers.resources.skills.using import READS, tell_of_use
from resolvers.rules.agent_folders import SKILLS
from runtime.runs.job import Job, Skill
from runtime.tools import Tool, ToolResult

MOST_LISTED: Final = 20_000  # characters of the prompt (contract: skills, runtime_use)
MOST_GIVEN: Final = 8 << 20  # bytes of all files
INTRODUCTION: Final = (
    "You have skills: instructions for certain kinds of work. When what you are asked fits the description of one,"
    " read its file first and do as it says. The files can be read, and not be changed."
)


def path_of(skill: Skill) -> str:
    return f"{SKILLS}/{skill.slug}/SKILL.md"


def listing(skills: Sequence[Skill]) -> str:
    """The part of the prompt that names them; empty without skills, and limited in number."""
    lines, room = list[str](), MOST_LISTED
    for skill in skills:
        line = _line(skill)
        if len(line) > room:
            break
        lines.append(line)
        room -= len(line)
    return "\n".join([INTRODUCTION, "<available_skills>", *lines, "</available_skills>"]) if lines else ""


def _line(skill: Skill) -> str:
    told = {"name": skill.slug, "description": skill.description, "location": path_of(skill)}
    if skill.missing:
        told["missing"] = f"environment variables {', '.join(skill.missing)}"
    return f"<skill>{''.join(f'<{key}>{escape(value)}</{key}>' for key, value in told.items())}</skill>"


def files_of(skills: Sequence[Skill]) -> Mapping[str, bytes]:
    """The files of the skills in the sandbox, by path."""
    made, room = dict[str, bytes](), MOST_GIVEN
    for skill in skills:
        content = _skill_md(skill)
        room -= len(content)
        if room < 0:
            break
        made[path_of(skill)] = content
    return made


def _skill_md(skill: Skill) -> bytes:
    """A text in quotes is the same in JSON and in YAML."""
    head = f"name: {json.dumps(skill.slug)}\ndescription: {json.dumps(skill.description)}"
    return f"---\n{head}\n---\n\n{skill.content}".encode(errors="replace")


def noting_uses(job: Job, tools: Mapping[str, Tool]) -> dict[str, Tool]:
    """The tools of a run; the one that reads a SKILL.md reports the skill's use, once per run."""
    reader = tools.get(READS)
    if reader is None or not job.skills:
        return dict(tools)
    unused = {path_of(skill): skill.slug for skill in job.skills}

    async def read(arguments: dict[str, Any]) -> ToolResult:
        result = await reader.run(arguments)
        path = arguments.get("path")
        slug = None if result.is_error or not isinstance(path, str) else unused.pop(posixpath.normpath(path), None)
        if slug is not None:
            try:
                await tell_of_use(job.workspace_id, job.agent.id, job.run_id, slug)
            except Exception:
                log.exception("use_of_skill_not_noted", run_id=job.run_id, workspace_id=job.workspace_id)
        return result

    return dict(tools) | {READS: replace(reader, run=read)}
