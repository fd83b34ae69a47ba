"""`rlnut completion SHELL`: a script that completes commands, names and options in bash, zsh or fish."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from rlnut.errors import unknown

HOW = {
    "bash": 'eval "$(rlnut completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(rlnut completion zsh)" in ~/.zshrc',
    "fish": "rlnut completion fish > ~/.config/fish/completions/rlnut.fish",
}
BASH = """_rlnut() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" names="" options=""
  COMPREPLY=()
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    names="{commands}"
  elif [ "$COMP_CWORD" -gt 2 ]; then
    names=""
  fi
  case "$word" in
    -*) names="$options" ;;
  esac
  if [ -n "$names" ]; then
    COMPREPLY=($(compgen -W "$names" -- "$word"))
  fi
}}
complete -o default -F _rlnut rlnut"""
ZSH = "autoload -Uz compinit bashcompinit\n(( $+functions[compdef] )) || compinit\nbashcompinit\n"


class Completed(NamedTuple):
    """What can stand after a command: its line in the list, names in the first place, options."""

    line: str
    names: list[str]
    options: list[str]


def configure(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("shell", metavar="SHELL", help="; ".join(f"{shell}: {how}" for shell, how in HOW.items()))


def run(args: argparse.Namespace) -> Mapping[str, object]:
    if args.shell not in HOW:
        raise unknown("shell", args.shell, HOW)
    script = {"bash": bash, "zsh": lambda found: ZSH + bash(found), "fish": fish}[args.shell](everything())
    if not args.json:
        print(script)
    return {"shell": args.shell, "script": script}


def everything() -> dict[str, Completed]:
    """Each command with what can stand after it."""
    from rlnut.agents.catalogue import AGENTS
    from rlnut.book.figures import FIGURES
    from rlnut.commands import COMMANDS
    from rlnut.commands.fit import NAMES as MODELS
    from rlnut.commands.list import KINDS
    from rlnut.demos import CHAPTERS
    from rlnut.prediction.methods import METHODS

    names: dict[str, list[str]] = {
        "train": sorted(AGENTS.known()), "predict": sorted(METHODS.known()), "fit": sorted(MODELS),
        "figure": list(FIGURES), "demo": list(CHAPTERS), "list": list(KINDS), "completion": list(HOW),
        "help": list(COMMANDS),
    }  # fmt: skip
    found = {}
    for command, line in COMMANDS.items():
        own = names.get(command, [])
        with_options = own if command in ("train", "fit") else []
        options = {option: None for name in ["", *with_options] for option in options_of(command, name)}
        found[command] = Completed(line, own, [*options, "--seed", "--json", "--help"])
    return found | {"help": Completed("how a command is used", names["help"], [])}


def options_of(command: str, name: str) -> list[str]:
    """The options that a command has for an agent or a model."""
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"rlnut.commands.{command.replace('-', '_')}").configure(parser, [name] if name else [])
    known = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return [option for action in known for option in action.option_strings if option.startswith("--")]


def bash(found: Mapping[str, Completed]) -> str:
    """The script for bash."""
    case = '    {}) names="{}"; options="{}" ;;'
    cases = [case.format(name, " ".join(c.names), " ".join(c.options)) for name, c in found.items()]
    return BASH.format(cases="\n".join(cases), commands=" ".join(found))


def fish(found: Mapping[str, Completed]) -> str:
    """The script for fish."""
    lines = []
    for command, c in found.items():
        after = f"complete -c rlnut -n '__fish_seen_subcommand_from {command}'"
        lines.append(f"complete -c rlnut -f -n __fish_use_subcommand -a {command} -d {quoted(c.line)}")
        lines += [f"{after} -a {quoted(' '.join(c.names))}"] if c.names else []
        lines += [f"{after} -l {option[2:]}" for option in c.options]
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Text as one word of fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
