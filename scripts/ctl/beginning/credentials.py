"""Keys of the account and the password of the OpenStack user: from the environment, or from files that nobody else may read. None comes in an argument.

The environment goes before the files. Files: `clouds.yaml` as OpenStack's own clients read it, `ovh.conf` as OVHcloud's do.
"""

from __future__ import annotations

import configparser
import os
import stat
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from components.state import PASSPHRASE, PASSPHRASE_FILE
from contract.dataclass import dataclass
from contract.errors import Refused, Usage
from contract.plain import shown
from scripts.ctl.output import log
from scripts.ctl.stacks.configuration import load

MOST_BYTES = 65536
OPENSTACK = {"OS_USERNAME": "username", "OS_PASSWORD": "password"}
OVH = {
    "OVH_APPLICATION_KEY": "application_key",
    "OVH_APPLICATION_SECRET": "application_secret",
    "OVH_CONSUMER_KEY": "consumer_key",
}
INIT_KEY = "OVH_INIT_CONSUMER_KEY"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """`maker`: the consumer key by which buckets and users are made; `consumer_key` is the program's, and goes into the stacks."""

    user: str
    domain: str
    password: str = field(repr=False)
    application_key: str = field(repr=False)
    application_secret: str = field(repr=False)
    consumer_key: str = field(repr=False)
    maker: str = field(repr=False)


def read(
    environment: Mapping[str, str], clouds: Path | None, ovh_conf: Path | None, endpoint: str, *, provider: str = ""
) -> tuple[Credentials | None, list[str]]:
    """The credentials, or the name of each that is missing. `endpoint`: of the OVHcloud API, whose part of `ovh_conf` counts; `provider`: of Pulumi's
    secrets, where it is no passphrase. Raises Usage, Refused for a file that others may read.
    """
    cloud = _cloud(clouds, environment.get("OS_CLOUD", "")) if clouds is not None else {}
    account = _account(ovh_conf, endpoint) if ovh_conf is not None else {}
    found = {name: environment.get(name) or cloud.get(key, "") for name, key in OPENSTACK.items()}
    found |= {name: environment.get(name) or account.get(key, "") for name, key in OVH.items()}
    missing = [name for name, value in found.items() if not value]
    if not provider and not (environment.get(PASSPHRASE) or environment.get(PASSPHRASE_FILE)):
        missing.append(PASSPHRASE)
    if missing:
        return None, missing
    made = Credentials(
        user=found["OS_USERNAME"],
        domain=environment.get("OS_USER_DOMAIN_NAME") or cloud.get("user_domain_name") or "Default",
        password=found["OS_PASSWORD"],
        application_key=found["OVH_APPLICATION_KEY"],
        application_secret=found["OVH_APPLICATION_SECRET"],
        consumer_key=found["OVH_CONSUMER_KEY"],
        maker=environment.get(INIT_KEY) or account.get("init_consumer_key") or found["OVH_CONSUMER_KEY"],
    )
    log.know(made)
    return made, []


def private(path: Path) -> None:
    """Raises Usage, and Refused where anybody but its owner may read it, or write it."""
    try:
        told = path.stat()
    except OSError as error:
        raise Usage(
            f"file {path}: cannot be read ({error.strerror}), wanted the credentials; nothing was changed; name the file that has them"
        ) from None
    if not stat.S_ISREG(told.st_mode) or told.st_size > MOST_BYTES:
        raise Usage(
            f"file {path}: is no file of at most {MOST_BYTES} bytes, wanted the credentials; nothing was changed; name the file that has them"
        )
    if told.st_mode & 0o077:
        raise Refused(
            f"file {path}: has mode {stat.S_IMODE(told.st_mode):04o}, wanted 0600: others on this machine may read the keys of the account; nothing was "
            f"changed; `chmod 600 {path}`, and make new keys if somebody else uses this machine"
        )
    if told.st_uid != os.geteuid():
        raise Refused(
            f"file {path}: belongs to user {told.st_uid}, wanted your own: whoever owns it chooses where keys are sent; nothing was changed; copy it"
        )


def _cloud(path: Path, name: str) -> dict[str, str]:
    """The part `auth` of one cloud. Raises Usage, Refused."""
    private(path)
    clouds = load(path).get("clouds")
    names = list(clouds) if isinstance(clouds, Mapping) else []
    chosen = name or (str(names[0]) if len(names) == 1 else "")
    cloud: Any = clouds.get(chosen) if isinstance(clouds, Mapping) else None
    auth = cloud.get("auth") if isinstance(cloud, Mapping) else None
    if not isinstance(auth, Mapping):
        raise Usage(
            f"file {path}: has no cloud {shown(chosen)} with a part `auth` among {len(names)}, wanted the one to use; nothing was changed; name it in "
            "OS_CLOUD"
        )
    return {str(key): str(value) for key, value in auth.items() if isinstance(value, str | int)}


def _account(path: Path, endpoint: str) -> dict[str, str]:
    """The part of an endpoint. Raises Usage, Refused."""
    private(path)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text())
    except (configparser.Error, UnicodeDecodeError):
        # Not its own words: they quote the line, which may be a key.
        raise Usage(
            f"file {path}: is no ovh.conf, wanted sections with `name=value` lines; nothing was changed; correct it"
        ) from None
    section = endpoint if parser.has_section(endpoint) else parser.get("default", "endpoint", fallback="")
    if not parser.has_section(section):
        raise Usage(
            f"file {path}: has no section [{endpoint}], wanted the keys of that endpoint; nothing was changed; add it, or export the keys"
        )
    return dict(parser.items(section))
