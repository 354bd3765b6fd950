"""Whether both regions run with the same configuration: each run leaves digests of the shared part at the witness, and compares its peer's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .checks import integer, mapping, text
from .dataclass import dataclass
from .fields import default_of, key, keys, write
from .forms import PHRASE
from .installation import Shared

DIGEST = text(r"[0-9a-f]{16}", "16 hexadecimal digits")
# What a deploy brings to one region after the other: both releases are at work meanwhile, and a move may come between.
ROLLED = frozenset({"shop.release"})
DIGESTS = mapping(r"[a-z0-9_.-]+", DIGEST)
DAYS = mapping(r"[a-z-]{1,40}", text(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]", "a day like 2026-11-30"))


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run leaves at the witness. Digests, no values: whoever reads the bucket learns which keys differ, and nothing else."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    version: str = key(PHRASE, "of the program that ran")
    keys: Mapping[str, str] = key(DIGESTS, "digest of each shared key's value, by its name without the namespace")
    since: Mapping[str, str] = key(DAYS, "since when its secrets are in use, by kind", default={})


def digests(shared: Shared) -> dict[str, str]:
    """By key ("postgres.mode"), of every key in which the two regions have to agree.

    A section that may be absent has one of its own ("lease"), that says whether it is there: what one side has switched off is a difference.
    """
    return dict(_of("", shared))


def _of(prefix: str, it: Any) -> list[tuple[str, str]]:
    found = []
    for name, (field, known) in keys(type(it)).items():
        value = getattr(it, name)
        if not known.shared:
            continue
        if known.of is None or value is None:
            found.append((prefix + name, _digest(write(value))))
        elif known.names == ():
            if known.off or default_of(field) is None:
                found.append((prefix + name, _digest("there")))
            found += _of(f"{prefix}{name}.", value)
        else:
            found.append((prefix + name, _digest(sorted(value))))
            found += [row for entry, inner in value.items() for row in _of(f"{prefix}{name}.{entry}.", inner)]
    return [row for row in found if row[0].split(".")[0] in keys(Shared)]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def differing(own: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The keys of which both know something else. One that only one side knows is of a newer version, whose default the other has as well."""
    return sorted(name for name, digest in own.items() if name in theirs and theirs[name] != digest)


def older(own: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """Kinds of secrets that are in use since an earlier day than in the set of before: somebody has renewed them since."""
    return sorted(kind for kind, day in own.items() if day < before.get(kind, day))
