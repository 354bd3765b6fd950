"""Where Pulumi keeps the stack's state and by what it is encrypted, as far as a run can know it without asking anybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from components.settings import Settings
from contract.errors import ConfigError, Fault
from contract.sites import SITES

SHORTEST = 20  # characters of a passphrase
PASSPHRASE, PASSPHRASE_FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"


def backend(environment: Mapping[str, str], home: Path) -> str:
    """URL of the backend: the environment's, else the one that this user has logged in to; empty when nobody says. `home`: the user's."""
    if url := environment.get("PULUMI_BACKEND_URL"):
        return url
    folder = Path(environment.get("PULUMI_HOME") or home / ".pulumi")
    try:
        known = json.loads((folder / "credentials.json").read_text())
        return str(known.get("current") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def check(settings: Settings, url: str, environment: Mapping[str, str], *, first: bool) -> list[str]:
    """Returns what each run says out loud; a rehearsal may all of it. Raises ConfigError for what nobody may begin with.

    `first`: the shop has never been up. One that is up may have to be moved this very hour, which is no time to make another bucket.
    """
    if settings.lab:
        return []
    faults = [*_apart(settings, url), *_encrypted(environment)]
    if faults and first:
        raise ConfigError(faults)
    return [*map(str, faults), *_outlives(settings, url), *_short(environment)]


def _apart(settings: Settings, url: str) -> list[Fault]:
    found = urlsplit(url)
    if found.scheme != "s3" or found.netloc != settings.witness.bucket:
        return []
    return [
        Fault(
            subject="Pulumi's backend",
            found=f"the witness bucket ({found.netloc})",
            wanted="a bucket of its own, with a user of its own",
            consequence="every host has a key to the witness, and whoever writes the state plants commands for the next run",
            remedy="make another bucket in the third region and move the state: docs/configuration.md, Pulumi's state",
        )
    ]


def _encrypted(environment: Mapping[str, str]) -> list[Fault]:
    if environment.get(PASSPHRASE_FILE) or environment.get(PASSPHRASE, "none") != "":
        return []
    return [
        Fault(
            subject=PASSPHRASE,
            found="empty",
            wanted=f"a passphrase of {SHORTEST} or more characters, or a key service as the secrets provider",
            consequence="whoever reads the state or a stack file has every secret of both regions",
            remedy="`pulumi stack change-secrets-provider passphrase` for both stacks, with a new one, and change what was readable until then",
        )
    ]


def _outlives(settings: Settings, url: str) -> list[str]:
    found = urlsplit(url)
    if found.scheme == "file":
        return [
            "Pulumi's backend: is a folder of this machine, wanted a versioned bucket of the third region: with this machine the state is lost, and nobody "
            "else can move the shop; see `Pulumi's state` in docs/configuration.md"
        ]
    regions = {settings.regions[site].s3_region: site for site in SITES}
    lies = parse_qs(found.query).get("region", [""])[0]
    if found.scheme == "s3" and lies in regions:
        return [
            f"Pulumi's backend: lies in {lies}, the region of site {regions[lies]}, wanted the third one: with that region the state is lost when it is "
            "needed; see `Pulumi's state` in docs/configuration.md"
        ]
    return []


def _short(environment: Mapping[str, str]) -> list[str]:
    if environment.get(PASSPHRASE_FILE) or not 0 < len(environment.get(PASSPHRASE, "")) < SHORTEST:
        return []
    return [
        f"{PASSPHRASE}: has fewer than {SHORTEST} characters, wanted that or more, at random: whoever has read the state's bucket tries words at leisure; "
        "`pulumi stack change-secrets-provider passphrase` for both stacks"
    ]
