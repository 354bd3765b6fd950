"""The engine as tests see it: it records every resource that a program registers, and refuses what a real run must not contain.

Use `build` and look at what it returns: absence can be asserted only when the whole program has run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc

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
    "ovh:CloudProject/s3Credential:S3Credential": lambda name, _: {
        "accessKeyId": f"secret-access-{name}",
        "secretAccessKey": f"secret-secret-{name}",
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
        "AssetRules",
        "AssetSync",
        "Balancer",
        "ArchiveLink",
        "ArchivePlace",
        "Copier",
        "FailoverDNS",
        "Fence",
        "Host",
        "Keeper",
        "Logs",
        "Monitoring",
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
    # Options, as they went over the wire.
    depends_on: frozenset[str]  # names, direct ones
    protect: bool
    retain_on_delete: bool
    delete_before_replace: bool
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    secret_outputs: tuple[str, ...]


class Refused(AssertionError):
    """The program registered what a real run must not contain."""


class _Answers(mocks.Mocks):
    """Plays the providers; the checks are the monitor's, which sees more."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = {key: _unwrapped(value) for key, value in args.inputs.items()}
        if args.typ in COMPONENTS:
            return None, {}
        return f"{args.name}-id", {**inputs, **ANSWERS[args.typ](args.name, inputs)}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise Refused(f"invoke of {args.token}: the program must run while every API is down")


class _Monitor(mocks.MockMonitor):
    """Records registrations with their options. Refuses an unknown type, a name used twice, a resource without an explicit provider."""

    def __init__(self) -> None:
        super().__init__(_Answers())
        self.registered: list[Registered] = []

    def RegisterResource(self, request: Any) -> Any:
        if request.type != "pulumi:pulumi:Stack":
            self._check(request)
            self._record(request)
        return super().RegisterResource(request)

    def _check(self, request: Any) -> None:
        if request.type not in ANSWERS and request.type not in COMPONENTS:
            raise Refused(
                f"unknown resource type {request.type} ({request.name}): add it to ANSWERS if the program should make it"
            )
        if any((it.type, it.name) == (request.type, request.name) for it in self.registered):
            raise Refused(f"{request.type} {request.name!r} was registered twice: a URN must be unique")
        if request.custom and not request.type.startswith("pulumi:providers:") and not request.provider:
            raise Refused(
                f"{request.type} {request.name!r} has no explicit provider: it would land wherever the default one points"
            )

    def _record(self, request: Any) -> None:
        raw = rpc.deserialize_properties(request.object, keep_unknowns=True)
        self.registered.append(
            Registered(
                type=request.type,
                name=request.name,
                inputs={key: _unwrapped(value) for key, value in raw.items()},
                provider=request.provider,
                secret=frozenset(key for key, value in raw.items() if _holds_secret(value)),
                depends_on=frozenset(urn.rsplit("::", 1)[1] for urn in request.dependencies),
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                delete_before_replace=request.deleteBeforeReplace,
                ignore_changes=tuple(request.ignoreChanges),
                replace_on_changes=tuple(request.replaceOnChanges),
                secret_outputs=tuple(request.additionalSecretOutputs),
            )
        )


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
    if isinstance(value, pulumi.FileAsset):
        return {"asset": value.path}
    return [_unwrapped(inner) for inner in value] if isinstance(value, list) else value


def build(program: Callable[[], None], stack: str = "region-a") -> list[Registered]:
    """Runs the program to its end, every `apply` included, and returns what it registered in order."""
    monitor = _Monitor()
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(monitor.mocks, project="dr", stack=stack, monitor=monitor)

    @pulumi.runtime.test
    def run() -> None:
        program()

    run()
    return monitor.registered
