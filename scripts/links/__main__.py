"""The links of the role chain that run on the operator's machine: `python -m scripts.links <link>`, the links as in `table.py`.

A JSON document on stdin, one JSON object on stdout (it is stored in Pulumi's state: no secrets, no times), one line of error on stderr.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from contract import fields
from contract.errors import DrError, ExitCode, Usage
from scripts.links.table import LINKS


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    name = arguments[0] if len(arguments) == 1 else ""
    if name not in LINKS:
        print(f"usage: python -m scripts.links {'|'.join(LINKS)} < document.json", file=sys.stderr)
        return ExitCode.USAGE
    link = import_module(LINKS[name])
    try:
        answer = link.run(fields.read(link.Document, _document(), f"document of {name}"))
    except DrError as error:
        print(f"ERROR {name}: {error}", file=sys.stderr)
        return error.code
    json.dump(answer, sys.stdout, sort_keys=True)
    print()
    return ExitCode.DONE


def _document() -> object:
    try:
        return json.load(sys.stdin)
    except ValueError:
        raise Usage(
            "stdin: found no JSON, wanted the link's document (docs/interfaces.md, section 3); nothing was changed; "
            "run `pulumi up`, which makes it"
        ) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
