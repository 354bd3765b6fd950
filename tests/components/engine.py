"""The engine as tests see it: it records every resource that a program registers, and refuses what a real run must not contain.

Use `build` and look at what it returns: absence can be asserted only when the whole program has run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks

# What each known resource answers with beside its inputs. A type that is not here is refused.
Answer = Callable[[str, dict[str, Any]], dict[str, Any]]
EPOCH = '{"active":"a","checkpoint":null,"epoch":1,"fence":{"rung":0},"planned":true,"previous":null,"schema":1}'


def _nothing(_: str, __: dict[str, Any]) -> dict[str, Any]:
    return {}


ANSWERS: dict[str, Answer] = {
    "pulumi:providers:openstack": _nothing,
    "pulumi:providers:ovh": _nothing,
    "pulumi:providers:command": _nothing,
    "openstack:networking/network:Network": _nothing,
    "openstack:networking/subnet:Subnet": _nothing,
    "openstack:networking/router:Router": _nothing,
    "openstack:networking/routerInterface:RouterInterface": _nothing,
    "openstack:networking/secGroup:SecGroup": _nothing,
    "openstack:networking/secGroupRule:SecGroupRule": _nothing,
    "openstack:networking/port:Port": _nothing,
    "openstack:networking/floatingIp:FloatingIp": lambda name, _: {"address": f"203.0.113.{50 + len(name)}"},
    "openstack:networking/floatingIpAssociate:FloatingIpAssociate": _nothing,
    "openstack:compute/serverGroup:ServerGroup": _nothing,
    "openstack:compute/instance:Instance": _nothing,
    "openstack:compute/volumeAttach:VolumeAttach": _nothing,
    "openstack:blockstorage/volume:Volume": _nothing,
    "openstack:loadbalancer/loadBalancer:LoadBalancer": lambda name, _: {"vipPortId": f"{name}-vip-port"},
    "openstack:loadbalancer/listener:Listener": _nothing,
    "openstack:loadbalancer/pool:Pool": _nothing,
    "openstack:loadbalancer/member:Member": _nothing,
    "openstack:loadbalancer/monitor:Monitor": _nothing,
    "ovh:CloudProject/user:User": _nothing,
    "ovh:CloudProject/s3Credential:S3Credential": lambda *_: {
        "accessKeyId": "secret-bucket-access",
        "secretAccessKey": "secret-bucket-secret",
    },
    "ovh:CloudProject/s3Policy:S3Policy": _nothing,
    "ovh:CloudProject/storage:Storage": _nothing,
    "ovh:Domain/zoneRecord:ZoneRecord": _nothing,
    "command:local:Command": lambda name, _: {"stdout": EPOCH if name.startswith("fence") else "{}", "stderr": ""},
    "command:remote:Command": lambda *_: {"stdout": "{}", "stderr": ""},
    "command:remote:CopyToRemote": _nothing,
}

COMPONENTS = frozenset(
    f"dr:index:{kind}"
    for kind in (
        "AppTier",
        "AssetBuckets",
        "AssetSync",
        "Balancer",
        "FailoverDNS",
        "Fence",
        "Host",
        "Network",
        "PostgresPair",
        "RedisPair",
        "RegionStack",
        "Release",
        "Verify",
    )
)


@dataclass(frozen=True)
class Registered:
    """One resource as the engine was told of it. Secret inputs are unwrapped; `secret` names the ones that were secret."""

    type: str
    name: str
    inputs: dict[str, Any]
    provider: str
    secret: frozenset[str]


@dataclass
class Recorder(mocks.Mocks):
    """Raises on an unknown type, a name used twice, a resource without an explicit provider, and on every invoke."""

    resources: list[Registered] = field(default_factory=list)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = dict(args.inputs)
        if args.typ in COMPONENTS:
            self._once(args)
            self.resources.append(Registered(args.typ, args.name, {}, args.provider, frozenset()))
            return None, {}
        if args.typ not in ANSWERS:
            raise AssertionError(f"unknown resource type {args.typ} ({args.name}): add it to ANSWERS if the program should make it")
        self._once(args)
        if not args.typ.startswith("pulumi:providers:") and not args.provider:
            raise AssertionError(f"{args.typ} {args.name!r} has no explicit provider: it would land wherever the default one points")
        secret = frozenset(key for key, value in inputs.items() if _holds_secret(value))
        plain = {key: _unwrapped(value) for key, value in inputs.items()}
        self.resources.append(Registered(args.typ, args.name, plain, args.provider, secret))
        return f"{args.name}-id", {**plain, **ANSWERS[args.typ](args.name, plain)}

    def _once(self, args: mocks.MockResourceArgs) -> None:
        if any((it.type, it.name) == (args.typ, args.name) for it in self.resources):
            raise AssertionError(f"{args.typ} {args.name!r} was registered twice: a URN must be unique")

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"invoke of {args.token}: the program must run while every API is down")


_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_SIGNATURE) == _SECRET


def _holds_secret(value: Any) -> bool:
    if _is_secret(value):
        return True
    if isinstance(value, dict):
        return any(_holds_secret(inner) for inner in value.values())
    return isinstance(value, list) and any(_holds_secret(inner) for inner in value)


def _unwrapped(value: Any) -> Any:
    if _is_secret(value):
        return _unwrapped(value["value"])
    if isinstance(value, dict):
        return {key: _unwrapped(inner) for key, inner in value.items()}
    return [_unwrapped(inner) for inner in value] if isinstance(value, list) else value


def build(program: Callable[[], None]) -> list[Registered]:
    """Runs the program to its end, every `apply` included, and returns what it registered in order."""
    recorder = Recorder()
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(recorder, project="dr", stack="test")

    @pulumi.runtime.test
    def run() -> None:
        program()

    run()
    return recorder.resources

