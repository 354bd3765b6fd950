"""The only reader of `pulumi.Config`: from a stack's configuration to `Settings`, or every fault of it at once.

`parse` works on a plain mapping and needs no Pulumi, so that `drctl` can check a configuration before a run; `load` takes the same mapping from
the running program. The keys are those of `contract.installation`; rules between keys of several sections are in `components.rules`, secrets in
`components.config_secrets`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from components import rules
from components.config_secrets import read_secrets
from components.settings import Settings
from contract import fields, hosts
from contract.errors import ConfigError, Fault
from contract.hosts import MAX_APP_HOSTS, MAX_CACHE_REPLICAS, Sizes
from contract.installation import Configuration, Shared
from contract.reading import HIDDEN, NoJson, Section
from contract.sites import SITES
from contract.wire import document

NAMESPACE = "dr"
# Stored as they are typed; all others as JSON.
SCALARS = frozenset(name for name, (_, it) in fields.keys(Configuration).items() if it.check and not it.of) - {
    "operator_cidrs"
}
SECRETS = "secrets"
SHORTEST = 3  # characters of a secret value; whatever is shorter stands in half of all words


def parse(values: Mapping[str, Any], secret: Collection[str] = ()) -> Settings:
    """Settings from keys without the namespace; `secret`: those that are stored encrypted. Raises `ConfigError` with every fault found."""
    faults: list[Fault] = []
    hidden = {SECRETS, *secret}
    with _Stored(f"{NAMESPACE}:", values, faults, hidden=hidden) as root:
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
        words = list(_leaves([values.get(name) for name in hidden]))
        raise ConfigError([_without(words, fault) for fault in faults])
    return settings


class _Stored(Section):
    """Of the configuration's files: a key that both regions share wins whole in a stack file, so no part of one is put there."""

    def _remedy(self, key: str, fix: str) -> str:
        subject = self.subject(key)
        shared = subject.removeprefix(f"{NAMESPACE}:").partition(".")[0]
        if fix or shared not in fields.keys(Shared):
            return super()._remedy(key, fix)
        return f"set {subject} in Pulumi.yaml, or, where your stack files hold {NAMESPACE}:{shared}, in both of them"


def _leaves(value: object) -> Iterator[str]:
    """Texts and numbers in it that are long enough to be told from any other word."""
    if isinstance(value, Mapping):  # days and stages of it are no secrets, and stand in other words
        value = [each for name, each in value.items() if name not in ("since", "stage")]
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif len(str(value)) > SHORTEST and not isinstance(value, bool) and value is not None:
        yield str(value)


def _without(words: Iterable[str], fault: Fault) -> Fault:
    """A rule between two sections names the values of both, and only one may be a secret; and a secret may stand in another key by mistake."""
    told = {name: getattr(fault, name) for name in ("subject", "found", "wanted", "consequence", "remedy")}
    for word in words:
        for spelled in (word, repr(word)[1:-1]):
            told = {name: text.replace(spelled, HIDDEN) for name, text in told.items()}
    return replace(fault, **told)


def load() -> Settings:
    """Settings of the running program. Raises `ConfigError`, also when `dr:secrets` was stored in clear."""
    from pulumi import get_stack  # noqa: PLC0415 - `parse` has to work without Pulumi
    from pulumi.runtime import config as runtime  # noqa: PLC0415 - as above

    stored = {**runtime.get_config_env(), **runtime.CONFIG.get()}
    prefix = f"{NAMESPACE}:"
    raw = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    kept = runtime.get_config_secret_keys_env()
    secret = {key for key in raw if runtime.is_config_secret(prefix + key) or prefix + key in kept}
    settings = parse({key: decoded(key, value) for key, value in raw.items()}, secret)
    if SECRETS not in secret:
        raise ConfigError(
            [
                Fault(
                    subject=prefix + SECRETS,
                    found="stored in clear",
                    wanted="a secret value",
                    consequence="every password and key of the shop stands readable in the stack file",
                    remedy="store the same object with `pulumi config set --secret secrets`, in both stacks, and take it out of the file's history; then "
                    "change, part by part, what was exposed: a whole new set would shut you out of the hosts (docs/configuration.md, Secrets)",
                )
            ]
        )
    _same_site(settings.site, get_stack())
    return settings


def _same_site(site: str, stack: str) -> None:
    """A stack that bears the other site's name would build that site a second time, in this one's region. Raises `ConfigError`."""
    word, _, named = stack.rpartition("-")
    if word and named == site:
        return
    remedy = f"set dr:site to the site that the stack is, or run it as `pulumi ... -s region-{site}`"
    if not word or named not in SITES:
        remedy = f"`pulumi stack rename <word>-{site}`, which takes its stack file along and replaces nothing"
    raise ConfigError(
        [
            Fault(
                subject=f"{NAMESPACE}:site",
                found=f"{site!r} in stack {stack!r}",
                wanted=f"a stack whose name ends in -{site}, like region-{site}",
                consequence="one stack's region would be made, moved or removed by the name of the other",
                remedy=remedy,
            )
        ]
    )


def decoded(key: str, value: object) -> object:
    """Structured keys arrive as JSON text; what does not decode is left for `parse` to refuse by name. `key`: without the namespace."""
    if key in SCALARS or not isinstance(value, str):
        return value
    try:
        return document.parse(value)
    except ValueError:
        return NoJson(value)


def _everywhere(names: Sequence[str]) -> list[str]:
    """Keys of hosts of these names in both sites."""
    return [f"{name}.{site}" for site in SITES for name in names]
