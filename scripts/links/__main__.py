"""The links of the role chain that run on the operator's machine: `python -m scripts.links fence|verify|pointer|replication`.

A JSON document on stdin, one JSON object on stdout (it is stored in Pulumi's state: no secrets, no times), one line of error on stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from contract.errors import DrError, ExitCode

Link = Callable[[dict[str, Any]], dict[str, Any]]


def _load(name: str) -> Link | None:
    """Import only what the link needs: each is a process of its own, on the path of a failover."""
    if name == "fence":
        from scripts.links import fence  # noqa: PLC0415

        return fence.run
    if name == "verify":
        from scripts.links import verify  # noqa: PLC0415

        return verify.run
    if name == "pointer":
        from scripts.links import pointer  # noqa: PLC0415

        return pointer.run
    if name == "replication":
        from scripts.links import replication  # noqa: PLC0415

        return replication.run
    return None


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    name = arguments[0] if len(arguments) == 1 else ""
    link = _load(name)
    if link is None:
        print("usage: python -m scripts.links fence|verify|pointer|replication < document.json", file=sys.stderr)
        return ExitCode.USAGE
    try:
        document = json.load(sys.stdin)
        if not isinstance(document, dict):
            raise TypeError
    except (ValueError, TypeError):
        print(
            f"ERROR {name}: stdin is not a JSON object, wanted the link's document (docs/interfaces.md, section 3)",
            file=sys.stderr,
        )
        return ExitCode.USAGE
    try:
        answer = link(document)
    except DrError as error:
        print(f"ERROR {name}: {error}", file=sys.stderr)
        return error.code
    except KeyError as error:
        print(
            f"ERROR {name}: the document lacks {error}; nothing was changed; see docs/interfaces.md, section 3",
            file=sys.stderr,
        )
        return ExitCode.USAGE
    json.dump(answer, sys.stdout, sort_keys=True)
    print()
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
