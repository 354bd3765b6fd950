"""Which secrets lie on which host: what the whole program tells each of them, against the table of docs/security.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from components import config
from contract.held import SECRETS, Secret
from contract.hosts import kind_of
from contract.rotation import Stage
from tests.components import stack
from tests.components.engine import Registered
from tests.components.test_program import built

PLAIN = ("ca", "cert", "public", "stage", "applied")  # everybody may see them
NAMES = {"host": r"[a-z]+-\d\.[ab]", "kind": "[a-z]+", "site": "[ab]", "role": "[a-z_0-9]+"}


def leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every secret word of `dr:secrets`, by its place."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(f"{path}.{name}" if path else name, inner)
    elif path.rpartition(".")[2] not in PLAIN and not path.startswith("since."):
        yield path, value


def secrets() -> dict[str, Any]:
    """With all that a set may hold: one of a shop whose certificate is ordered, in the middle of a rotation."""
    found = stack.secrets()
    found["acme"] = {name: f"secret-acme-{name}" for name in found["ovh"]}
    found["tls"]["shop"]["ca"] = found["tls"]["shop"]["cert"].replace("tlsshop", "tlsshopca")
    roles = ("shop_2", "shop_worker_2", "dr_replication")
    clients = {
        role: {"cert": _pem("CERTIFICATE", f"new{role}"), "key": _pem("PRIVATE KEY", f"newkey{role}")} for role in roles
    }
    part = {
        "stage": str(Stage.BESIDE),
        "applied": False,
        "app": "secret-new-password",
        "ca": _pem("CERTIFICATE", "newca"),
    }
    cache = {"stage": str(Stage.TURNED), "applied": True, "app": "secret-old-cache", "replica": "secret-old-replica"}
    sessions = {"stage": str(Stage.TURNED), "applied": True, "secret_key_base": "0b" * 64}
    beside = {"stage": str(Stage.BESIDE), "applied": True, "ca": _pem("CERTIFICATE", "nexthosts")}
    hosts = {**beside, "hosts": _next(found["tls"]["hosts"])}
    tls = found["tls"]["cache"]
    caches = {**beside, "hosts": _next(tls["hosts"]), "clients": _next(tls["clients"])}
    waiting = {"stage": str(Stage.BESIDE), "applied": False}
    return {
        **found,
        "rotation": {
            "database": {**part, "clients": clients},
            "replication": {"stage": str(Stage.BESIDE), "applied": True, "replication": "secret-new-replication"},
            "redis": cache,
            "cache-operator": {"stage": str(Stage.TURNED), "applied": True, "operator": "secret-old-cache-operator"},
            "sessions": sessions,
            "host-certificates": hosts,
            "cache-certificates": caches,
            "operator": {**waiting, **stack.ssh("next"), "public": stack.public_key(91)},
            "witness": {**waiting, **_others(found["witness"])},
        },
    }


def _others(found: Mapping[str, Any]) -> dict[str, Any]:
    """Other keys in the place of those of the witness."""
    return {name: f"next-{it}" if isinstance(it, str) else _others(it) for name, it in found.items()}


def _next(found: Mapping[str, Any]) -> dict[str, Any]:
    """Others in the place of certificates."""
    return {name: {part: pem.replace("\n", "\nnext", 1) for part, pem in it.items()} for name, it in found.items()}


def _pem(kind: str, body: str) -> str:
    return f"-----BEGIN {kind}-----\n{body.replace('_', '')}\n-----END {kind}-----\n"


def words() -> dict[str, str]:
    """All secrets by their places, and the keys that the engine has made for users of buckets."""
    made = {
        f"{row.place}.{part}": f"secret-{part}-{row.place}-credential"
        for row in SECRETS
        if row.made
        for part in ("access", "secret")
    }
    return {**dict(leaves("", secrets())), **made}


def whole(site: str) -> dict[str, Any]:
    """What gives each of them to hosts."""
    configured = stack.configuration(site)
    shop = {**configured["shop"], "acme": {"contact": "ops@shop.example"}}
    watch = {**configured["monitoring"], "status_page": stack.PAGE}
    return {
        "shop": shop,
        "secrets": secrets(),
        "app": configured["app"],
        "monitoring": watch,
        "logs": {"store": stack.JOURNALS},
    }


def row_of(place: str) -> tuple[Secret, dict[str, str]]:
    """The row that a secret belongs to, and what its names stand for."""
    fitting = []
    for row in SECRETS:
        pattern = re.escape(row.place).replace(r"\{", "{").replace(r"\}", "}")
        found = re.fullmatch(
            pattern.format(**{name: f"(?P<{name}>{it})" for name, it in NAMES.items()}) + r"(\..+)?", place
        )
        if found:
            fitting.append((len(row.place), row, found.groupdict()))
    assert fitting, f"{place}: no row of contract/held.py says where it lies and what it opens"
    _, row, names = max(fitting, key=lambda it: it[0])
    return row, {name: it for name, it in names.items() if it is not None}


def told(resources: Mapping[str, Registered], site: str) -> dict[str, str]:
    """All that each host of the stack is given, by its key: at its first boot, on stdin, in commands. What one signs in with stays with the operator."""
    settings = config.parse(stack.configuration(site))
    by_address = {host.front: key for key, host in settings.hosts_of(site).items()}
    found = dict.fromkeys(by_address.values(), "")
    for it in resources.values():
        if it.type.startswith("command:remote:"):
            host = by_address.get(it.inputs["connection"]["host"], f"control-1.{site}")
        elif it.type == "openstack:compute/instance:Instance":
            host = f"{it.inputs['name'].removeprefix(f'shop-{site}-')}.{site}"
        else:
            continue
        given = {name: value for name, value in it.inputs.items() if name != "connection"}
        found[host] += json.dumps(given).replace("\\\\n", "\n").replace("\\n", "\n")
    return found


@pytest.fixture(scope="module", params=["a", "b"])
def site(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def given(site: str) -> dict[str, str]:
    return told(built(site, **whole(site)), site)


def wanted(place: str, hosts: Mapping[str, str], site: str) -> set[str]:
    row, names = row_of(place)
    if "host" in names:
        return {names["host"]} & set(hosts) if kind_of(names["host"]) in row.on else set()
    if "kind" in names:
        return {
            key for key in hosts if (kind_of(key), site) == (names["kind"], names["site"]) and names["kind"] in row.on
        }
    return {key for key in hosts if kind_of(key) in row.on}


def test_every_host_is_told_the_secrets_of_the_table_and_no_other(given: dict[str, str], site: str) -> None:
    assert all(given.values()), "each host is told something"
    for place, word in words().items():
        holding = {key for key, text in given.items() if re.search(core(word), text)}
        assert holding == wanted(place, given, site), place


def core(word: str) -> str:
    """A pattern of what of it cannot be spelled in two ways: of a PEM the line in the middle."""
    if not word.startswith("-----"):
        return re.escape(word)
    return r"\n\s*" + re.escape(word.splitlines()[1]) + r"\n"


def test_no_row_of_the_table_is_about_nothing() -> None:
    used = {row_of(place)[0].place for place in words()}
    assert [row.place for row in SECRETS if row.place not in used] == []
