"""`drctl rights`: what to allow the keys that the owner of the account makes by hand, in the platform's own forms. It asks nobody and reads no secret."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from components.render.policy import witness_policy
from contract.errors import ExitCode, Usage
from contract.witness import USERS
from scripts.ctl import output
from scripts.ctl.configuration import merged


def run(chosen: argparse.Namespace) -> ExitCode:
    """Writes JSON. Raises Usage where the configuration does not say what the rights are about."""
    output.write_json(witness(chosen.stack_file, chosen.user), "the policies")
    if sys.stdout.isatty():
        print()
    return ExitCode.DONE


def witness(stack_file: Path, user: str | None) -> dict[str, Any]:
    """The S3 policy of one user, or of each by its name."""
    bucket = _told(stack_file, "witness", "bucket")
    if user is not None:
        return _policy(bucket, user)
    return {each: _policy(bucket, each) for each in USERS}


def _policy(bucket: str, user: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(witness_policy(bucket, user))
    return made


def _told(stack_file: Path, section: str, key: str) -> str:
    found = merged(stack_file).get(f"dr:{section}")
    value = found.get(key) if isinstance(found, dict) else None
    if not isinstance(value, str) or not value:
        raise Usage(
            f"configuration of {stack_file}: lacks dr:{section}.{key}, wanted its name, which the rights are about; nothing was printed; fill it in first"
        )
    return value
