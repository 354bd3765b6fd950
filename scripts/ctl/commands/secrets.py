"""`drctl secrets`: a fresh `dr:secrets` for the installation that a stack file describes (made by `scripts/ctl/stacks/secrets.py`)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from contract.errors import ExitCode, Usage
from contract.witness import HOST_USERS
from scripts.ctl import output
from scripts.ctl.stacks.configuration import merged
from scripts.ctl.stacks.secrets import generate, host_names

# What the outside parties have given: environment variable -> place in dr:secrets.
OUTSIDE = {
    "OS_PASSWORD": ("openstack_password",),
    "OVH_APPLICATION_KEY": ("ovh", "application_key"),
    "OVH_APPLICATION_SECRET": ("ovh", "application_secret"),
    "OVH_CONSUMER_KEY": ("ovh", "consumer_key"),
    "WITNESS_ACCESS_KEY": ("witness", "access_key"),
    "WITNESS_SECRET_KEY": ("witness", "secret_key"),
    **{
        f"WITNESS_{user.replace('.', '_').upper()}_{name.upper()}": ("witness", "hosts", user, name)
        for user in HOST_USERS
        for name in ("access_key", "secret_key")
    },
}


def run(chosen: argparse.Namespace) -> ExitCode:
    """Writes one JSON object. Raises Usage, also when it would land on a screen."""
    output.not_on_a_screen("this prints private keys; see docs/beginning.md, By hand, for the whole line")
    output.write_json(make_secrets(chosen.stack_file), "the secrets")
    return ExitCode.DONE


def make_secrets(stack_file: Path) -> dict[str, Any]:
    """The object of `dr:secrets` (docs/configuration.md). Raises Usage."""
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
    config = merged(stack_file)
    try:
        return generate(host_names(config), config["dr:shop"]["host"], outside, config["dr:shop"].get("aliases", ()))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Usage(
            f"configuration of {stack_file}: lacks {error}, wanted regions, vrack, app and shop; nothing was made; fill it in first, "
            "`pulumi preview` lists every fault"
        ) from None
