"""The contract in words: the reference of keys, the tables of documents, the comments of a configuration file. Pure; nobody writes these by hand.

`drctl reference` puts them where they belong (docs/configuration.md, docs/interfaces.md, Pulumi.yaml); a test holds the files to them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any

from . import consumer_key, held, hosts, rotation, witness
from .beginning import Answers
from .documents import Envelope
from .epoch import InForce
from .fields import Key, default_of, keys
from .hosts import KINDS, Sizes
from .installation import Own, Shared
from .links import fence, forward, keeper, pointer, replication, turn, verify
from .monitoring import metrics as figures
from .monitoring import rules as alerts
from .monitoring import silences as quiet
from .report import Event
from .services import app, archive, assets, logs, monitoring, postgres, redis, setup

WIDTH = 150
NAMESPACE = "dr"
# Blocks of services, and the section of the configuration whose keys they hold.
SERVICES: dict[str, tuple[type[Any], str]] = {
    "setup": (setup.Block, ""),
    "postgres": (postgres.Block, "postgres"),
    "redis": (redis.Block, "redis"),
    "assets": (assets.Block, "assets"),
    "app": (app.Block, "app"),
    "archive": (archive.Block, "archive"),
    "monitoring": (monitoring.Block, ""),
    "logs": (logs.Block, ""),
}
LINKS: dict[str, type[Any]] = {
    "fence": fence.Document,
    "turn": turn.Document,
    "verify": verify.Document,
    "forward": forward.Document,
    "pointer": pointer.Document,
    "replication": replication.Document,
    "keeper": keeper.Document,
}


# --- docs/configuration.md


def configuration() -> str:
    """Every key of the configuration, a table for each section."""
    parts = [_section("", Own, "In each stack file"), _section("", Shared, "In Pulumi.yaml, for both regions")]
    for cls in (Own, Shared):
        parts += [text for name, (_, it) in keys(cls).items() for text in _below(f"{NAMESPACE}:{name}", it)]
    return "\n".join(parts)


def _section(path: str, cls: type[Any], title: str) -> str:
    rows = [f"### {title}", "", "| key | takes | default | meaning |", "|---|---|---|---|"]
    for name, (field, it) in keys(cls).items():
        prefix = f"{NAMESPACE}:" if not path else ""
        rows.append(f"| `{prefix}{name}` | {_takes(it)} | {_default(field, it)} | {_cell(it.doc)} |")
    return "\n".join([*rows, ""])


def _below(path: str, it: Key) -> Iterator[str]:
    """The tables of a part and of those in it."""
    if it.of is None:
        return
    shown = path if it.names == () else f"{path}.<{'|'.join(it.names or ('name',))}>"
    yield _section(shown, it.of, f"`{shown}`")
    below: dict[Any, list[tuple[str, Key]]] = {}
    for name, (_, inner) in keys(it.of).items():
        below.setdefault(inner.of, []).append((name, inner))
    for same in below.values():  # parts of one form have one table
        names = "|".join(name for name, _ in same)
        yield from _below(f"{shown}.{names if len(same) == 1 else f'<{names}>'}", same[0][1])


def _takes(it: Key) -> str:
    if it.of is not None:
        return "keys of its own, or `off`" if it.off else "keys of its own"
    assert it.check is not None
    each = f"for each of {', '.join(it.names)}: " if it.names else ""
    return _cell(each + it.check.wanted)


def _default(field: Any, it: Key) -> str:
    value = default_of(field)
    if value is MISSING:
        return "required"
    if value is None or value == "":
        return "absent" if value is None else "empty"
    return f"`{plain(value)}`" + (f" {it.unit}" if it.unit else "")


def plain(value: Any) -> str:
    """A default as one would write it in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if value == {}:
        return "{}"
    return str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


# --- docs/interfaces.md


def kinds() -> str:
    """The table of hosts: names, octets, ports, lease, fence."""
    rows = [
        "| host | last octet | ports, and who may open them | agent | stopped by a fence |",
        "|---|---|---|---|---|",
    ]
    rows.append(f"| gateway (router) | {hosts.GATEWAY_OCTET}, front only | | | |")
    rows.append(f"| load balancer VIP | {hosts.BALANCER_OCTET}, front only | | | |")
    for kind in KINDS.values():
        most = [f"`{name}`" for name in _all(kind)]
        names = most[0] if len(most) == 1 else f"{most[0]} to {most[-1]}"
        octets = str(kind.octet) if kind.most == 1 else f"{kind.octet} to {kind.octet + kind.most - 1}"
        ports = "; ".join(f"{port.number} ({_named(port)}): {', '.join(port.asked_by)}" for port in kind.ports)
        leased = f"stops {kind.leased}" if kind.leased else ""
        rows.append(f"| {names} | {octets} | {ports} | {leased} | {'yes' if kind.fenced else 'no'} |")
    return "\n".join([*rows, ""])


def _named(port: hosts.Port) -> str:
    if port.stored:
        return f"{port.name}, with `dr:logs.store`"
    if port.logged:
        return f"{port.name}, with `dr:logs`"
    return f"{port.name}, with `dr:monitoring`" if port.watched else port.name


def _all(kind: hosts.Kind) -> list[str]:
    most = Sizes(app=hosts.MAX_APP_HOSTS, cache_replicas=hosts.MAX_CACHE_REPLICAS)
    return list(hosts.of_kind(kind.name, most))


def host_documents() -> str:
    """The envelope, the epoch in it, and the block of each service."""
    parts = [_document("envelope", Envelope), _document("epoch", InForce)]
    for service, (block, section) in SERVICES.items():
        configured = set(keys(block.__mro__[1])) if section else set()
        parts.append(_document(service, block, section, configured))
    return "\n".join(parts)


def link_documents() -> str:
    """Stdin of each link."""
    return "\n".join(_document(name, cls) for name, cls in LINKS.items())


def _document(name: str, cls: type[Any], section: str = "", inherited: set[str] | None = None) -> str:
    rows = [f"**{name}**: {_first(cls.__doc__ or '')}", "", "| key | takes | default | meaning |", "|---|---|---|---|"]
    if section:
        rows.append(f"| every key of `{NAMESPACE}:{section}` | as in [configuration.md](configuration.md) | | |")
    for path, field, it in _flat("", cls, inherited or set()):
        rows.append(f"| `{path}` | {_takes(it)} | {_default(field, it)} | {_cell(it.doc)} |")
    return "\n".join([*rows, ""])


def _flat(prefix: str, cls: type[Any], without: set[str]) -> Iterator[tuple[str, Any, Key]]:
    """Keys of a document and of what is below, but for parts that have a table of their own."""
    for name, (field, it) in keys(cls).items():
        if name in without:
            continue
        each = "" if it.names == () else f".<{'|'.join(it.names or ('name',))}>"
        path = f"{prefix}{name}{each}"
        if it.of is None or it.of is InForce:
            yield path, field, it
        else:
            yield from _flat(f"{path}.", it.of, set())


def _first(text: str) -> str:
    return " ".join(text.split())


# --- docs/reports.md


def record() -> str:
    """The form that `drctl report add` takes."""
    return _document("event", Event)


# --- docs/monitoring.md


def metrics() -> str:
    """Every metric that a rule or a dashboard may name."""
    rows = ["| metric | of | on | unit | meaning |", "|---|---|---|---|---|"]
    for it in figures.METRICS:
        labels = [*it.labels, *([it.label] if it.label else [])]
        name = f"{it.name}{{{', '.join(labels)}}}" if labels else it.name
        words = f" One of {', '.join(map(str, it.words))}: 1, the others 0." if it.words else ""
        where = "every" if it.on == figures.EVERY else ", ".join(it.on)
        rows.append(f"| `{name}` | {it.by} | {where} | {it.unit} | {_cell(it.help + words)} |")
    return "\n".join([*rows, ""])


def rules() -> str:
    """Every rule, by group."""
    rows = ["| alert | | holds for | when | page |", "|---|---|---|---|---|"]
    for group in alerts.groups(alerts.Limits()).values():
        for it in group:
            when = it.expr.replace("|", "\\|")
            rows.append(
                f"| `{it.name}` | {it.severity} | {it.for_s} s | `{when}` | [{it.page}](runbook/{it.page}.md) |"
            )
    return "\n".join([*rows, ""])


def silences() -> str:
    """What is not told while somebody does something on purpose."""
    rows = [
        "| undertaking | of hosts that it stops | of its region | of the other one | ends by itself after |",
        "|---|---|---|---|---|",
    ]
    for name, it in quiet.CAUSES.items():
        cells = (", ".join(f"`{alert}`" for alert in place) for place in (it.hosts, it.site, it.other))
        rows.append(f"| {name} | {' | '.join(cells)} | {it.most_s // 60} min at most |")
    return "\n".join([*rows, ""])


# --- docs/security.md


def secrets_by_host() -> str:
    """Which secret lies on which kind of host, and what it opens."""
    kinds = tuple(KINDS)
    rows = [
        f"| secret | what it opens | {' | '.join(f'`{kind}`' for kind in kinds)} |",
        f"|---|---|{'---|' * len(kinds)}",
    ]
    for row in held.SECRETS:
        name = row.place.replace("{", "<").replace("}", ">")
        name = f"key of S3 user `{name}`" if row.made else f"`{name}`"
        marks = " | ".join("x" if kind in row.on else "" for kind in kinds)
        rows.append(f"| {name} | {_cell(row.opens)} | {marks} |")
    return "\n".join([*rows, ""])


def kinds_of_secrets() -> str:
    """How each kind of secret is renewed."""
    rows = ["| kind | secrets | how it is renewed |", "|---|---|---|"]
    for name, kind in rotation.KINDS.items():
        places = ", ".join(f"`{place.replace('{', '<').replace('}', '>')}`" for place in kind.places)
        rows.append(f"| `{name}` | {places} | {_cell(kind.how)} |")
    return "\n".join([*rows, ""])


def access_rules() -> str:
    """What the consumer key of the OVHcloud API may ask."""
    account = consumer_key.Account(
        service_name="<project>", zone="<zone>", buckets={"<region>": ("<bucket>",)}, protect=False
    )
    rows = ["| call | for |", "|---|---|"]
    rows += [f"| `{rule.method} {rule.path}` | {_cell(rule.why)} |" for rule in consumer_key.rules(account)]
    return "\n".join([*rows, ""])


def challenge_rules() -> str:
    """What the consumer key of the bastions may ask."""
    rows = ["| call | for |", "|---|---|"]
    rows += [f"| `{rule.method} {rule.path}` | {_cell(rule.why)} |" for rule in consumer_key.challenge("<its zone>")]
    return "\n".join([*rows, ""])


def beginning_rules() -> str:
    """What the consumer key of `drctl init` may ask."""
    told = consumer_key.Beginning(
        service_name="<project>",
        zone="<zone>",
        third="<third project>",
        regions=("<region>",),
        third_region="<third region>",
        buckets=("<bucket>",),
    )
    rows = ["| call | for |", "|---|---|"]
    rows += [f"| `{rule.method} {rule.path}` | {_cell(rule.why)} |" for rule in consumer_key.beginning(told)]
    return "\n".join([*rows, ""])


def answers() -> str:
    """What `drctl init` is told."""
    rows = ["| answer | takes | default | meaning |", "|---|---|---|---|"]
    for path, field, it in _flat("", Answers, set()):
        rows.append(f"| `{path.replace('|', ' or ')}` | {_takes(it)} | {_default(field, it)} | {_cell(it.doc)} |")
    return "\n".join([*rows, ""])


def witness_rights() -> str:
    """Who may put, read and remove what in the witness bucket."""
    rows = ["| objects | what they hold | put by | read by, besides the operator |", "|---|---|---|---|"]
    for row in witness.TABLE:
        whose = row.keys.format(site="<site>", kind="<kind>")
        put = _users(row.put_by) + (", which may remove it too" if row.removed_by else "")
        rows.append(f"| `{whose}` | {_cell(row.holds)} | {put} | {_users(row.read_by)} |")
    return "\n".join([*rows, ""])


def _users(kinds: tuple[str, ...]) -> str:
    return ", ".join("operator" if kind == witness.OPERATOR else f"`{kind}` of its site" for kind in kinds)


# --- the configuration file


def comments(name: str) -> list[str]:
    """What stands above one top-level key of the shared part: its meaning, and each key below it. Lines without their mark."""
    _, it = keys(Shared)[name]
    said = _about(it)
    lines = textwrap.wrap(said[:1].upper() + said[1:] + ("" if said.endswith(".") else "."), WIDTH)
    if it.of is not None:
        lines += _entries(it.of, "  ")
    return lines


def _about(it: Key) -> str:
    """What a part is, and what its docstring says beyond the name of its key."""
    words = _first(it.of.__doc__ or "") if it.of else ""
    _, _, rest = words.partition("`: ")
    return rest or f"{it.doc}. {words.partition('`. ')[2]}".strip().rstrip(".")


def _entries(cls: type[Any], indent: str) -> list[str]:
    lines: list[str] = []
    for name, (field, it) in keys(cls).items():
        value, unit = default_of(field), f" {it.unit}" if it.unit else ""
        absent = " (optional)" if value is None else f" (default {plain(value)}{unit})"
        if value is MISSING:
            absent = f" ({it.unit})" if it.unit else ""
        first = it.doc.split(". ")[0].replace("`", "")
        lines += textwrap.wrap(
            f"{name}: {first}{absent}", WIDTH, initial_indent=indent, subsequent_indent=f"{indent}    "
        )
        if it.of is not None:
            lines += _entries(it.of, indent + "  ")
    return lines
