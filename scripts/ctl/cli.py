"""`drctl`: the operator's command. So far it makes the secrets of a new installation; moves are made with `pulumi up` (docs/failover.md)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from contract.errors import DrError, ExitCode, Usage

# What the outside parties have given: environment variable -> place in dr:secrets.
OUTSIDE = {
    "OS_PASSWORD": ("openstack_password",),
    "OVH_APPLICATION_KEY": ("ovh", "application_key"),
    "OVH_APPLICATION_SECRET": ("ovh", "application_secret"),
    "OVH_CONSUMER_KEY": ("ovh", "consumer_key"),
    "WITNESS_ACCESS_KEY": ("witness", "access_key"),
    "WITNESS_SECRET_KEY": ("witness", "secret_key"),
}


def make_secrets(stack_file: Path) -> dict[str, Any]:
    """A fresh `dr:secrets` for the installation that `stack_file` describes."""
    from scripts.ctl.secrets import generate, host_names  # noqa: PLC0415 - `drctl --help` need not load cryptography

    missing = [name for name in OUTSIDE if not os.environ.get(name)]
    if missing:
        raise Usage(
            f"environment: {', '.join(missing)} not set, wanted the credentials of OpenStack, OVHcloud and the witness; export them and run it again"
        )
    outside: dict[str, Any] = {}
    for name, path in OUTSIDE.items():
        place = outside
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = os.environ[name]
    try:
        config = yaml.safe_load(stack_file.read_text())["config"]
        return generate(host_names(config), config["dr:shop"]["host"], outside)
    except OSError as error:
        raise Usage(
            f"stack file {stack_file}: cannot be read ({error.strerror}); name the Pulumi.region-a.yaml of the installation"
        ) from None
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise Usage(
            f"stack file {stack_file}: lacks {error}; fill it in first, `pulumi preview` lists every fault"
        ) from None


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="drctl", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser(
        "secrets",
        help="make keys, certificates and passwords once; prints JSON for `pulumi config set --secret secrets`",
    )
    new.add_argument(
        "stack_file", type=Path, help="the filled-in Pulumi.region-a.yaml; the same secrets go into both stacks"
    )
    chosen = parser.parse_args(arguments)
    try:
        if sys.stdout.isatty():
            raise Usage(
                "stdout: is a terminal, wanted a pipe or a file, because this prints private keys; see README.md for the whole line"
            )
        json.dump(make_secrets(chosen.stack_file), sys.stdout)
        sys.stdout.flush()
    except DrError as error:
        print(f"drctl: {error}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains at its end
        print(
            "drctl: stdout: was closed before the secrets were written whole; nothing was kept; run it into a file or a whole pipe",
            file=sys.stderr,
        )
        return ExitCode.FAILED
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
