"""What a shell completes after `drctl`: a script for bash, zsh or fish, with every word in it, so that no Tab starts a program."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence

from scripts.ctl.manual.words import Command

# zsh reads it too: there `path` is PATH, and a length that begins with a letter is a modifier.
_BASH = """\
# What bash completes after drctl: in ~/.bashrc, `source <(drctl completion bash)`.
_drctl() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" at="" each found=""
    for each in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
        case "$at $each" in
{paths}
        esac
    done
    case "$at $before" in
{values}
    esac
    if [ -z "$found" ]; then
        case "$at" in
{words}
        esac
    fi
    COMPREPLY=($(compgen -W "$found" -- "$word"))
}}
complete -o bashdefault -o default -F _drctl drctl scripts/drctl
"""
_ZSH = """\
# What zsh completes after drctl: in ~/.zshrc, behind compinit, `source <(drctl completion zsh)`.
autoload -U +X bashcompinit && bashcompinit
"""


def bash(all_of: Sequence[Command]) -> str:
    """Options, commands below and choices; files where nothing else fits."""
    paths, values, words = list[str](), list[str](), list[str]()
    for it in all_of:
        here = " ".join(it.path)
        paths += [f'            "{here} {name}") at="{" ".join((*it.path, name))}" ;;' for name, _ in it.below]
        for option in it.options:
            if option.choices:
                flags = "|".join(f'"{here} {flag}"' for flag in option.flags)
                values.append(f'        {flags}) found="{" ".join(option.choices)}" ;;')
        found = [name for name, _ in it.below] + [choice for place in it.places for choice in place.choices]
        found += [flag for option in it.options for flag in option.flags if flag.startswith("--")]
        words.append(f'            "{here}") found="{" ".join(found)}" ;;')
    return _BASH.format(paths="\n".join(paths), values="\n".join(values), words="\n".join(words))


def zsh(all_of: Sequence[Command]) -> str:
    """That of bash, by zsh's own bridge."""
    return _ZSH + bash(all_of)


def fish(all_of: Sequence[Command]) -> str:
    """With what each word is for."""
    lines = ["# What fish completes after drctl: `drctl completion fish > ~/.config/fish/completions/drctl.fish`."]
    for it in all_of:
        where = _where(it)
        for name, about in it.below:
            lines.append(f"complete -c drctl -f{where} -a {name} -d {_quoted(about)}")
        for place in it.places:
            if place.choices:
                lines.append(
                    f"complete -c drctl -f{where} -a {_quoted(' '.join(place.choices))} -d {_quoted(place.about)}"
                )
        for option in it.options:
            flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
            takes = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r" if option.value else ""
            lines.append(f"complete -c drctl{where} {flags}{takes} -d {_quoted(option.about)}")
    return "\n".join(lines) + "\n"


def _where(it: Command) -> str:
    """Only behind its own words, and before those that may follow."""
    tests = [f"__fish_seen_subcommand_from {word}" for word in it.path]
    if it.below:
        tests.append(f"not __fish_seen_subcommand_from {' '.join(name for name, _ in it.below)}")
    return f" -n {_quoted('; and '.join(tests))}" if tests else ""


def _quoted(text: str) -> str:
    return shlex.quote(text.partition(";")[0])


SHELLS: Mapping[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
