"""Scripts that complete commands in a shell. All that there is to complete is in them, so that no key waits for a
process of ours: the library's own scripts start one for each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

HOME = "${XDG_CONFIG_HOME:-$HOME/.config}/crewship/profiles"


@dataclass(frozen=True)
class Command:
    """`path`: as it is typed behind the program's name. `options`: name -> choices, None for no value, () for any."""

    path: tuple[str, ...]
    help: str
    commands: tuple[str, ...]
    options: dict[str, tuple[str, ...] | None]
    choices: tuple[str, ...]  # of its arguments


def script(root: Any, shell: str) -> str:
    """`root`: the command of the library that reads the command line."""
    commands = list(_commands(root, ()))
    return _fish(commands) if shell == "fish" else _bash(commands, zsh=shell == "zsh")


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[Command]:
    below = {name: each for name, each in getattr(command, "commands", {}).items() if not each.hidden}
    options: dict[str, tuple[str, ...] | None] = {"--help": None}
    choices: tuple[str, ...] = ()
    for parameter in command.params:
        allowed = _allowed(parameter.type_descriptor.annotation)
        if parameter.param_type_name == "argument":
            choices += allowed
        elif not parameter.hidden:
            value = None if parameter.is_flag else allowed
            options |= dict.fromkeys((*parameter.opts, *parameter.secondary_opts), value)
    said = (command.help or "").strip().split("\n\n")[0].replace("\n", " ")
    yield Command(path, " ".join(said.split()), tuple(below), options, choices)
    for name, each in below.items():
        yield from _commands(each, (*path, name))


def _allowed(annotation: Any) -> tuple[str, ...]:
    """The possible values, if there are only some."""
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()


BASH = """\
_crewship() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} at="" each
    for each in "${{COMP_WORDS[@]:1:$((COMP_CWORD-1))}}"; do
        case "$at $each" in
{steps}
        esac
    done
    case "$at $before" in
{values}
    *" --profile") COMPREPLY=($(compgen -W "$(command ls "{home}" 2>/dev/null)" -- "$word")); return;;
    esac
    case "$at" in
{words}
    esac
}}
complete -o default -F _crewship crewship
"""


# in zsh, what is called path is PATH
ZSH = "autoload -U +X compinit && compinit -i; autoload -U +X bashcompinit && bashcompinit\n"


def _bash(commands: list[Command], *, zsh: bool) -> str:
    steps, values, words = [], [], []
    for each in commands:
        if each.path:
            before = "".join(f" {name}" for name in each.path[:-1])
            steps.append(f'        "{before} {each.path[-1]}") at="{before} {each.path[-1]}";;')
        path = "".join(f" {name}" for name in each.path)
        for name, allowed in each.options.items():
            if allowed:
                reply = f'COMPREPLY=($(compgen -W "{" ".join(allowed)}" -- "$word"))'
                values.append(f'    "{path} {name}") {reply}; return;;')
        first = " ".join((*each.commands, *each.choices)) or ""
        if each.path == ("profiles", "use") or each.path == ("profiles", "remove"):
            first = f'$(command ls "{HOME}" 2>/dev/null)'
        reply = f'COMPREPLY=($(compgen -W "{first} {" ".join(each.options)}" -- "$word"))'
        if first:
            plain = f'[[ $word == -* ]] || {{ COMPREPLY=($(compgen -W "{first}" -- "$word")); return; }}'
            reply = f"{plain}; {reply}"
        words.append(f'    "{path}") {reply};;')
    text = BASH.format(steps="\n".join(steps), values="\n".join(values), words="\n".join(words), home=HOME)
    return (ZSH if zsh else "") + text


def _fish(commands: list[Command]) -> str:
    """Every condition is of fish's own functions."""
    lines = ["complete -c crewship -f"]
    for each in commands:
        below = " ".join(each.commands)
        if not each.path:
            seen = "__fish_use_subcommand"
        else:
            seen = "; and ".join(f"__fish_seen_subcommand_from {name}" for name in each.path)
            seen += f"; and not __fish_seen_subcommand_from {below}" if below else ""
        condition = f"-n {_quoted(seen)}"
        told = {other.path: other.help for other in commands}
        for name in each.commands:
            lines.append(f"complete -c crewship {condition} -a {name} -d {_quoted(told[(*each.path, name)])}")
        if each.choices:
            lines.append(f"complete -c crewship {condition} -a {_quoted(' '.join(each.choices))}")
        if each.path[:1] == ("profiles",) and each.path[1:] in (("use",), ("remove",)):
            lines.append(f"complete -c crewship {condition} -a {_quoted(FISH_PROFILES)}")
        for name, allowed in each.options.items():
            flag = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
            value = "" if allowed is None else f" -r -a {_quoted(' '.join(allowed))}" if allowed else " -r"
            value = f" -r -a {_quoted(FISH_PROFILES)}" if name == "--profile" else value
            lines.append(f"complete -c crewship {condition} {flag}{value}")
    return "\n".join(lines) + "\n"


FISH_PROFILES = (
    "(set -q XDG_CONFIG_HOME; or set -l XDG_CONFIG_HOME $HOME/.config;"
    " command ls $XDG_CONFIG_HOME/crewship/profiles 2>/dev/null)"
)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
