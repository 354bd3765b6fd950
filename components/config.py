"""The only reader of `pulumi.Config`: from a stack's configuration to `Settings`, or every fault of it at once.

`parse` works on a plain mapping and needs no Pulumi, so that `drctl` can check a configuration before a run; `load` takes the same mapping from
the running program. The keys are those of `contract.installation`; rules between keys of several sections are in `components.rules`, secrets in
`components.config_secrets`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from components import rules
from components.config_secrets import read_secrets
from components.settings import Settings
from contract import fields, hosts
from contract.errors import ConfigError, Fault
from contract.hosts import MAX_APP_HOSTS, MAX_CACHE_REPLICAS, Sizes
from contract.installation import Configuration
from contract.reading import Section
from contract.sites import SITES

NAMESPACE = "dr"
# Stored as they are typed; all others as JSON.
SCALARS = frozenset(name for name, (_, it) in fields.keys(Configuration).items() if it.check and not it.of) - {
    "operator_cidrs"
}
SECRETS = "secrets"


def parse(values: Mapping[str, Any]) -> Settings:
    """Settings from keys without the namespace. Raises `ConfigError` with every fault found."""
    faults: list[Fault] = []
    with Section(f"{NAMESPACE}:", values, faults) as root:
        found = fields.take(root, Configuration)
        fields.agree(root, found)
        sizes = Sizes(
            app=getattr(found.app, "hosts", None) or 2, cache_replicas=getattr(found.redis, "cache_replicas", None) or 0
        )
        own = hosts.host_names(sizes)
        most = hosts.host_names(Sizes(app=MAX_APP_HOSTS, cache_replicas=MAX_CACHE_REPLICAS))
        secrets = read_secrets(root, _everywhere(own), _everywhere([name for name in most if name not in own]))
    settings = Settings(**vars(found), secrets=secrets)
    rules.check(settings, root)
    if faults:
        raise ConfigError(faults)
    return settings


def load() -> Settings:
    """Settings of the running program. Raises `ConfigError`, also when `dr:secrets` was stored in clear."""
    from pulumi.runtime import config as runtime  # noqa: PLC0415 - `parse` has to work without Pulumi

    stored = {**runtime.get_config_env(), **runtime.CONFIG.get()}
    prefix = f"{NAMESPACE}:"
    raw = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    settings = parse({key: _decoded(key, value) for key, value in raw.items()})
    secret = runtime.is_config_secret(prefix + SECRETS) or prefix + SECRETS in runtime.get_config_secret_keys_env()
    if not secret:
        raise ConfigError(
            [
                Fault(
                    subject=prefix + SECRETS,
                    found="stored in clear",
                    wanted="a secret value",
                    consequence="every password and key of the shop stands readable in the stack file",
                    remedy="change what was exposed, then pipe `drctl secrets` into `pulumi config set --secret secrets`, in both stacks",
                )
            ]
        )
    return settings


def _decoded(key: str, value: object) -> object:
    """Structured keys arrive as JSON text; what does not decode is left for `parse` to refuse by name."""
    if key in SCALARS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _everywhere(names: Sequence[str]) -> list[str]:
    """Keys of hosts of these names in both sites."""
    return [f"{name}.{site}" for site in SITES for name in names]
