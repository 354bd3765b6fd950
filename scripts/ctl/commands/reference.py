"""`drctl reference`: the made parts of docs/ and the comments of Pulumi.yaml, from the contract (`scripts/ctl/manual/reference.py`)."""

from __future__ import annotations

import argparse

from contract.errors import ExitCode, Refused
from scripts.ctl.manual import reference
from scripts.ctl.stacks import configuration


def run(chosen: argparse.Namespace) -> ExitCode:
    """Writes what differs and names it; `--check`: Refused instead. Raises Usage for a document that has lost its marks."""
    texts, stale = reference.texts(chosen.folder), reference.stale(chosen.folder)
    names = ", ".join(path.relative_to(chosen.folder).as_posix() for path in stale)
    if stale and chosen.check:
        raise Refused(
            f"{names}: differ from the contract, wanted what is made from it; nothing was changed; run `make reference`"
        )
    configuration.write({path: texts[path] for path in stale})
    print(f"written: {names}" if stale else "all as the contract says")
    return ExitCode.DONE
