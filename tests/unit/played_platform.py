"""A whole platform in memory for `drctl init`: the rehearsal cloud's own APIs without sockets, an S3 server of some lines, and a `pulumi` that only keeps
what it is told. Whoever asks over HTTP is answered here.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from lab import assembly
from lab.cloud import openstack
from lab.cloud.backend import RecordingBackend
from lab.cloud.config import CloudConfig
from lab.cloud.ovh import service
from lab.cloud.web import Call, Reply
from lab.rehearsal.answers import answers, credentials
from lab.s3.gateway import StorageError
from scripts.clients import http
from scripts.ctl.beginning import account, steps, world
from scripts.ctl.stacks import secrets as real_secrets
from scripts.ctl.stacks.stack import Stack
from tests.components import stack as example
from tests.lab.ovh.fakes import FakeDns, FakeStorage

PASSPHRASE = "a phrase that nobody guesses"
CHANGES = ("POST", "PUT", "DELETE")
S3 = "192.0.2.12:7070"
KEYS = assembly.Credentials()


class Killed(BaseException):
    """`kill -9`, as far as one process can play it."""


class Storage(FakeStorage):
    """Also says no for a name that is another customer's."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: set[str] = set()

    def create_bucket(self, region: str, name: str, **told: Any) -> None:
        if name in self.foreign:
            raise StorageError("exists", f"S3 {region}: create_bucket of {name} gave BucketAlreadyExists")
        super().create_bucket(region, name, **told)


class Store:
    """The S3 server of the third region. Knobs: conditions that it ignores, keys that it does not know yet, whether it knows lifecycles."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.objects: dict[str, bytes] = {}
        self.lifecycles: dict[str, str] = {}
        self.ignores: set[str] = set()
        self.unknown_for = 0
        self.knows_lifecycles = True
        self.quoted = False  # whether a condition's ETag has quotes: those of OVHcloud have none

    def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> http.Reply:
        access = re.search(r"Credential=([^/]+)/", headers["authorization"])
        if self.unknown_for or access is None or access[1] not in self.storage.keys:
            self.unknown_for = max(self.unknown_for - 1, 0)
            return _s3(403, "InvalidAccessKeyId")
        bucket, _, key = path.lstrip("/").partition("/")
        if ("de", bucket) not in self.storage.buckets:
            return _s3(404, "NoSuchBucket")
        allowed = self.storage.policies[self.storage.keys[access[1]]]
        if query == "lifecycle=":
            if not self.knows_lifecycles:
                return _s3(501, "NotImplemented")
            if "s3:PutLifecycleConfiguration" not in allowed:
                return _s3(403, "AccessDenied")
            self.lifecycles[bucket] = body.decode()
            return _reply(200)
        if method == "GET":
            return _reply(200, b'<ListBucketResult xmlns="x"><IsTruncated>false</IsTruncated></ListBucketResult>')
        return self._object(method, f"{bucket}/{key}", headers, body)

    def _object(self, method: str, key: str, headers: Mapping[str, str], body: bytes) -> http.Reply:
        if method == "DELETE":
            self.objects.pop(key, None)
            return _reply(204)
        there = self.objects.get(key)
        if "if-none-match" in headers and there is not None and "if-none-match" not in self.ignores:
            return _s3(412, "PreconditionFailed")
        known = f'"{_etag(there)}"' if self.quoted else _etag(there)
        if headers.get("if-match", known) != known and "if-match" not in self.ignores:
            return _s3(412, "PreconditionFailed")
        self.objects[key] = body
        return _reply(200, b"", ETag=f'"{_etag(body)}"')


class Platform:
    """`kill_at`: the change, counted over all APIs and pulumi, after which the process is gone; `spoil`: what becomes of an answer, by method and URL."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.keys = KEYS
        self.storage = Storage()
        self.store = Store(self.storage)
        self.ovh = service(assembly.ovh_config(self.keys), self.storage, FakeDns())
        self.config = assembly.cloud_config(self.keys)
        self._cloud(self.config)
        told = assembly.description(self.config, self.keys, ("root", "root"), "")
        self.answers = answers(told)
        del self.answers["endpoints"]["archive_ca"]
        self.environment = {**credentials(told), "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
        self.asked: list[tuple[str, str]] = []
        self.spoil: Callable[[str, str, http.Reply], http.Reply] = lambda method, url, reply: reply
        self.changes, self.kill_at = 0, 0
        self.pulumi = Pulumi(self)
        self._put(monkeypatch)

    def set(self, **values: Any) -> None:
        """Other values of both regions' configuration; a function makes one of the region."""
        regions = tuple(
            dataclasses.replace(region, **{name: it(region) if callable(it) else it for name, it in values.items()})
            for region in self.config.regions
        )
        self._cloud(dataclasses.replace(self.config, regions=regions))

    def quotas(self, **values: int) -> None:
        self.set(quotas={**self.config.regions[0].quotas, **values})
        for (kind, _), each in self.openstack.services.items():
            if kind == "load-balancer":
                each.state.quotas.update({name: it for name, it in values.items() if name == "load_balancer"})  # type: ignore[attr-defined]

    def account(self, **values: Any) -> None:
        """Other values of the OVHcloud account."""
        self.ovh.config = dataclasses.replace(self.ovh.config, **values)

    def written(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.folder / name).read_text())
        return found

    def made(self) -> dict[str, Any]:
        """What the platform and the files hold, for a comparison; numbers and keys of users differ from run to run."""
        users = {user["description"]: self.ovh.policies.get(number, "") for number, user in self.ovh.users.items()}
        files = {it.name: it.read_text() for it in self.folder.iterdir() if it.name != "state.env"}
        return {
            "users": users,
            "buckets": copy.deepcopy(self.storage.buckets),
            "lifecycles": dict(self.store.lifecycles),
            "stacks": sorted(self.pulumi.stacks),
            "files": files,
        }

    def change(self) -> None:
        """One more was made, and it is there; nobody has heard of it if the process ends now."""
        self.changes += 1
        if self.changes == self.kill_at:
            raise Killed

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, **_: Any
    ) -> http.Reply:
        self.asked.append((method, url))
        parts = urlsplit(url)
        mine = parts.netloc == S3
        real = (
            self.store.answer(method, parts.path, parts.query, headers, body or b"")
            if mine
            else self._api(method, url, headers, body or b"")
        )
        reply = self.spoil(method, url, real)
        if method in CHANGES and reply.ok and not url.endswith("/auth/tokens") and not url.endswith("/secret"):
            self.change()
        return reply

    def _api(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> http.Reply:
        parts = urlsplit(url)
        target = url.partition(parts.netloc)[2]
        call = Call(
            method=method,
            path=parts.path,
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={"host": parts.netloc, **{name.lower(): value for name, value in headers.items()}},
            body=json.loads(body) if body else None,
            raw=body,
            url=target,
            target=target,
        )
        return _of(self._services[parts.netloc].handle(call))

    def _cloud(self, config: CloudConfig) -> None:
        if repr(config) not in _BUILT:
            _BUILT[repr(config)] = openstack.build(config, RecordingBackend())
        self.config, self.openstack = config, _BUILT[repr(config)]
        found: dict[str, Any] = {urlsplit(config.auth_url).netloc: self.openstack.services["identity", ""]}
        for region in config.regions:
            found |= {
                urlsplit(url).netloc: self.openstack.services[kind, region.name]
                for kind, url in region.endpoints.items()
            }
        found[f"{assembly.OVH[0]}:{assembly.OVH[1]}"] = self.ovh
        self._services = found

    def _put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the place of what really goes out, and of what takes time."""
        (self.folder / "Pulumi.yaml").write_text((example.ROOT / "Pulumi.yaml").read_text())
        (self.folder / "answers.yaml").write_text(yaml.safe_dump(self.answers))
        monkeypatch.setattr(http, "ask", self.ask)
        monkeypatch.setattr(Stack, "_run", self.pulumi.run)
        for module in (world, steps):
            monkeypatch.setattr(module, "generate", _generate)
        for module in (account, steps):
            monkeypatch.setattr(module, "LOOK_S", 0.0)
        for name in ("PULUMI_BACKEND_URL", "OS_CLOUD", "PULUMI_CONFIG_PASSPHRASE_FILE"):
            monkeypatch.delenv(name, raising=False)
        programs = self.folder.parent / f"{self.folder.name}-programs"
        programs.mkdir(exist_ok=True)
        (programs / "pulumi").touch(mode=0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setenv("PULUMI_HOME", str(self.folder / "nobody-has-signed-in"))
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


class Pulumi:
    """Keeps stacks and secrets as the command would, and notes what it was called with."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.stacks: dict[str, str] = {}  # name to secrets
        self.argv: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []

    @property
    def run(self) -> Callable[..., str]:
        """As a method of `Stack`."""
        return lambda stack, *words, stdin="": self._run(stack, list(words), stdin)

    def _run(self, stack: Stack, words: list[str], stdin: str) -> str:
        self.argv.append(words)
        self.environments.append(stack.environment or {})
        if words[:2] == ["stack", "ls"]:
            return json.dumps([{"name": name} for name in self.stacks])
        if words[:2] == ["config", "get"]:
            return self.stacks[stack.name]
        if words[:2] == ["stack", "init"]:
            assert stack.name not in self.stacks
            self.stacks[stack.name] = ""
        elif words[:2] == ["config", "set"]:
            self.stacks[stack.name] = stdin
            document = yaml.safe_load(stack.path.read_text())
            # It writes the whole file anew, and what is no object as a text.
            document["config"] = {name: "true" if it is True else it for name, it in document["config"].items()}
            document["config"]["dr:secrets"] = {"secure": "v1:sealed"}
            stack.path.write_text(yaml.safe_dump(document, sort_keys=False))
        else:
            raise AssertionError(words)
        self._platform.change()
        return ""


_CACHED: dict[str, Any] = {}
_BUILT: dict[
    str, openstack.OpenStack
] = {}  # its routes take a third of a second to compile; nothing is ever made there


def _generate(
    hosts: Mapping[str, Any], shop_host: str, outside: Mapping[str, Any], aliases: Sequence[str] = ()
) -> dict[str, Any]:
    """Keys of hosts are made once: most of a run would be spent on them. No two sets are alike all the same."""
    name = json.dumps([hosts, shop_host, *aliases])
    if name not in _CACHED:
        _CACHED[name] = real_secrets.generate(hosts, shop_host, {}, aliases)
    return {
        **copy.deepcopy(_CACHED[name]),
        **outside,
        "postgres": {name: token_hex(16) for name in ("replication", "app")},
    }


def _of(reply: Reply) -> http.Reply:
    data = (
        reply.text.encode()
        if reply.text is not None
        else b""
        if reply.body is None
        else json.dumps(reply.body).encode()
    )
    return _reply(reply.status, data, **reply.headers)


def _reply(status: int, body: bytes = b"", **headers: str) -> http.Reply:
    told = Message()
    for name, value in headers.items():
        told[name] = value
    return http.Reply(status, "", told, body)


def _s3(status: int, code: str) -> http.Reply:
    return _reply(status, f"<Error><Code>{code}</Code></Error>".encode())


def _etag(body: bytes | None) -> str:
    return "" if body is None else hashlib.md5(body).hexdigest()


def spoiled(status: int, document: object) -> http.Reply:
    """An answer of an API, in place of its own."""
    return _reply(status, json.dumps(document).encode())
