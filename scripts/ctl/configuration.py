"""The configuration's files: `Pulumi.yaml` holds what both regions share, once; a stack file holds its site, its request and its secrets.

A key that stands in a stack file wins over the one in `Pulumi.yaml`, whole. The older layout, every key in both stack files, is read as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from contract import reference
from contract.errors import Refused, Usage
from contract.fields import keys
from contract.installation import Shared
from contract.reference import NAMESPACE
from contract.sites import SITES

PROJECT = "Pulumi.yaml"
SHARED = tuple(f"{NAMESPACE}:{name}" for name in keys(Shared))
_HEADER = """\
# What both regions share, once. Made by `drctl reference` and `drctl config share` from the contract (`contract/`), values as they stand here:
# change values, not comments. The values in the repository are those of the rehearsal cloud (docs/interfaces.md, section 6); ids that differ
# from account to account read `look-up-once`: `pulumi preview` says how. What a stack has for itself stands in its own file.
"""
_STACK_HEADER = """\
# One region's own: its site, the request, its secrets. What both regions share stands in Pulumi.yaml; a key of it that is set here wins for this
# region alone, and no move is possible until both agree again.
"""


def stack_file(folder: Path, site: str) -> Path:
    """Where a stack's own configuration lies."""
    return folder / f"Pulumi.region-{site}.yaml"


def load(path: Path) -> dict[str, Any]:
    """A YAML file that is a mapping. Raises Usage."""
    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise Usage(
            f"file {path}: cannot be read ({error.strerror}), wanted a configuration file of the installation; nothing was changed; name it"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}" if where else "somewhere"
        raise Usage(f"file {path}: is no YAML ({line}), wanted a mapping; nothing was changed; correct it") from None
    if not isinstance(found, dict):
        raise Usage(f"file {path}: is no mapping, wanted `config:` with its keys; nothing was changed; correct it")
    return found


def shared_values(folder: Path) -> dict[str, Any]:
    """The values of `Pulumi.yaml`, by full key ("dr:postgres"); empty in the older layout."""
    config = load(folder / PROJECT).get("config") or {}
    if not isinstance(config, dict):
        raise Usage(
            f"file {folder / PROJECT}: config is no mapping, wanted keys with a value each; nothing was changed; correct it"
        )
    return {
        name if ":" in name else f"{NAMESPACE}:{name}": entry["value"]
        for name, entry in config.items()
        if isinstance(entry, dict) and "value" in entry
    }


def merged(path: Path) -> dict[str, Any]:
    """A stack's whole configuration by full key: its file over what `Pulumi.yaml` beside it shares. Raises Usage."""
    project = path.parent / PROJECT
    return {**(shared_values(path.parent) if project.exists() else {}), **own_values(path)}


def own_values(path: Path) -> dict[str, Any]:
    """What a stack file itself says, by full key. Raises Usage."""
    own = load(path).get("config")
    if not isinstance(own, dict):
        raise Usage(f"file {path}: has no `config:`, wanted the stack's keys; nothing was changed; fill it in first")
    return own


def project_text(folder: Path, values: Mapping[str, Any]) -> str:
    """`Pulumi.yaml` with these values (by full key), described. What else stands in the file stays: name, runtime, keys of others."""
    rest = {name: value for name, value in load(folder / PROJECT).items() if name != "config"}
    others = {
        name: entry
        for name, entry in (load(folder / PROJECT).get("config") or {}).items()
        if not str(name).startswith(f"{NAMESPACE}:") and ":" in str(name)
    }
    lines = [yaml.safe_dump(rest, sort_keys=False, width=200).rstrip(), "", _HEADER.rstrip(), "config:"]
    for name in SHARED:
        lines += [f"  # {line}".rstrip() for line in reference.comments(name.split(":", 1)[1])]
        if name in values:
            lines += _indented({name: {"value": values[name]}})
        lines.append("")
    lines += _indented(others)
    return "\n".join(lines).rstrip() + "\n"


def stack_text(document: Mapping[str, Any]) -> str:
    """A stack file, described."""
    return _STACK_HEADER + yaml.safe_dump(dict(document), sort_keys=False, width=200)


def _indented(value: Mapping[str, Any]) -> list[str]:
    if not value:
        return []
    return [f"  {line}" for line in yaml.safe_dump(dict(value), sort_keys=False, width=200).splitlines()]


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """The files as they are to be, by path; what was moved."""

    files: Mapping[Path, str]
    moved: tuple[str, ...]


def share(folder: Path) -> Sharing:
    """From the older layout to the one of now: what both stack files say alike moves to `Pulumi.yaml`.

    Raises Refused, naming the keys, when the stack files (or one of them and `Pulumi.yaml`) say different things.
    """
    documents = {site: load(stack_file(folder, site)) for site in SITES}
    configs = {site: dict(document.get("config") or {}) for site, document in documents.items()}
    values = shared_values(folder)
    said: dict[str, list[Any]] = {
        name: [source[name] for source in (values, *configs.values()) if name in source] for name in SHARED
    }
    apart = [name for name, found in said.items() if any(value != found[0] for value in found[1:])]
    if apart:
        raise Refused(
            f"configuration in {folder}: {', '.join(apart)} differ between the stack files, or from {PROJECT}, wanted one value for both regions; "
            "nothing was changed; make them agree and run the same again"
        )
    moved = tuple(name for name in SHARED if any(name in config for config in configs.values()))
    files = {folder / PROJECT: project_text(folder, {name: found[0] for name, found in said.items() if found})}
    for site, document in documents.items():
        own = {name: value for name, value in configs[site].items() if name not in SHARED}
        files[stack_file(folder, site)] = stack_text({**document, "config": own})
    return Sharing(files=files, moved=moved)


def write(files: Mapping[Path, str]) -> None:
    """Each at once or not at all: a stack file holds secrets that exist nowhere else."""
    for path, text in files.items():
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text)
        partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
