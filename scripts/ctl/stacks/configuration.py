"""The configuration's files: `Pulumi.yaml` holds what both regions share, once; a stack file holds its site, its request and its secrets.

A key that stands in a stack file wins over the one in `Pulumi.yaml`, whole. The older layout, every key in both stack files, is read as before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from components.config import SCALARS, decoded
from contract import reference
from contract.dataclass import dataclass
from contract.errors import Failed, Refused, Usage
from contract.fields import Key, keys
from contract.installation import Configuration, Shared
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


def _the_one(folder: Path, site: str) -> Path:
    """The same for stacks of another name, `Pulumi.<any word>-a.yaml`, where there is one of the site."""
    found = list(folder.glob(f"Pulumi.?*-{site}.yaml"))
    return found[0] if len(found) == 1 else stack_file(folder, site)


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
    return {_full(name): _valued(entry) for name, entry in config.items() if _valued(entry) is not None}


def _full(name: object) -> str:
    """A key's name as pulumi understands it: without a namespace it is the project's."""
    return str(name) if ":" in str(name) else f"{NAMESPACE}:{name}"


def _valued(entry: object) -> Any:
    """What an entry of `Pulumi.yaml` gives its key; None where it only describes one. Pulumi takes a value alone for an entry, too."""
    return entry.get("value", entry.get("default")) if isinstance(entry, Mapping) else entry


def _typed(name: str, value: object) -> object:
    """As the program reads it: `pulumi config set` stores what it is given as a text."""
    key = name.removeprefix(f"{NAMESPACE}:")
    check = keys(Configuration)[key][1].check if key in SCALARS else None
    return check.typed(value) if check is not None and isinstance(value, str) else decoded(key, value)


def merged(path: Path) -> dict[str, Any]:
    """A stack's whole configuration by full key, as the program reads it: its file over what `Pulumi.yaml` beside it shares. Raises Usage."""
    project = path.parent / PROJECT
    stored = {**(shared_values(path.parent) if project.exists() else {}), **own_values(path)}
    return {name: _typed(name, value) for name, value in stored.items()}


def own_values(path: Path, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a stack file itself says, by full key; `document`: the file's, where it was read already. Raises Usage."""
    own = (load(path) if document is None else document).get("config")
    if not isinstance(own, dict):
        raise Usage(f"file {path}: has no `config:`, wanted the stack's keys; nothing was changed; fill it in first")
    return {_full(name): value for name, value in own.items()}


def project_text(folder: Path, values: Mapping[str, Any]) -> str:
    """`Pulumi.yaml` with these values (by full key), described. What else stands in the file stays: name, runtime, keys of others, a stack's own for both."""
    document = load(folder / PROJECT)
    rest = {name: value for name, value in document.items() if name != "config"}
    told = {name for name in SHARED if name in values}
    others = {name: entry for name, entry in (document.get("config") or {}).items() if _full(name) not in told}
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
    paths = {site: _the_one(folder, site) for site in SITES}
    documents = {site: load(path) for site, path in paths.items()}
    configs = {site: dict(document.get("config") or {}) for site, document in documents.items()}
    own = {site: {_full(name) for name in config} for site, config in configs.items()}
    values = shared_values(folder)
    whole = {
        site: {**values, **{_full(name): value for name, value in config.items()}} for site, config in configs.items()
    }
    a, b = ({name: whole[site].get(name) for name in SHARED} for site in SITES)
    apart = [name for name in SHARED if _agreed(name, a[name]) != _agreed(name, b[name])]
    if apart:
        raise Refused(
            f"configuration in {folder}: {', '.join(apart)} differ between the stack files, or from {PROJECT}, wanted one value for both regions; "
            "nothing was changed; make them agree and run the same again"
        )
    # What may differ and does stays where it is.
    moved = tuple(name for name in SHARED if a[name] == b[name] and any(name in names for names in own.values()))
    shared = {name: values[name] for name in SHARED if name in values} | {name: a[name] for name in moved}
    files = {folder / PROJECT: project_text(folder, shared)}
    for site, document in documents.items():
        left = {name: value for name, value in configs[site].items() if _full(name) not in moved}
        files[paths[site]] = stack_text({**document, "config": left})
    return Sharing(files=files, moved=moved)


def _agreed(name: str, value: object) -> object:
    """What of a key's value the two regions have to agree in."""
    return _alike(keys(Shared)[name.removeprefix(f"{NAMESPACE}:")][1], value)


def _alike(known: Key, value: object) -> object:
    if not known.shared:
        return None
    if known.of is None or not isinstance(value, Mapping):
        return value
    if known.names != ():
        return {name: _alike(replace(known, names=()), inner) for name, inner in value.items()}
    inside = {name: it for name, (_, it) in keys(known.of).items()}
    return {
        name: _alike(inside[name], inner) if name in inside else inner
        for name, inner in value.items()
        if name not in inside or inside[name].shared
    }


def write(files: Mapping[Path, str], mode: int = 0o644) -> None:
    """Each at once or not at all: a stack file holds secrets that exist nowhere else. One that is a link stays one. `mode`: of one that is not there yet.
    Raises Failed.
    """
    for path, text in files.items():
        target = path.resolve()
        partial = target.with_name(f".{target.name}.partial")
        try:
            _write(target, partial, text, mode)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise Failed(
                f"file {path}: cannot be written ({error.strerror}), wanted it as the contract has it; it is as it was; mend that and run the same again"
            ) from None


def _write(target: Path, partial: Path, text: str, mode: int) -> None:
    partial.unlink(missing_ok=True)  # of one that was killed
    with suppress(FileNotFoundError):
        mode = target.stat().st_mode & 0o777
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
        os.fchmod(stream.fileno(), mode)  # whatever this shell takes from new files
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(target)
