"""The shop's release on every app host of the site, under its digest.

A file of the operator's machine is copied to each host; one that is named by its digest is fetched by each host from the bucket of its own region, or
from the other's. Either way `dr-host app place` looks at every file of it before it appears, at once or not at all. It starts nothing and changes no
link to "the current release"; the app link names the release it wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.asset_buckets import AssetBuckets
from components.bundle import Bundle
from components.host import Host
from components.remote import host_copy, host_script, verified
from components.render import documents
from components.settings import Settings
from contract.dataclass import dataclass
from contract.limits import KILL_AFTER_S, PLACE_S
from contract.release import RELEASES, SUFFIX, UPLOADS


@dataclass(frozen=True, kw_only=True)
class ReleaseArgs:
    settings: Settings
    tool: Bundle
    bundle: Bundle
    hosts: Sequence[Host]
    buckets: AssetBuckets


class Release(pulumi.ComponentResource):
    """`path` is where the release lies on each host once `ready` is done."""

    path: str
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: ReleaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Release", name, {}, opts)
        self._args = args
        self.path = f"{RELEASES}/{args.bundle.digest}"
        self.ready = [self._on(f"{name}-{host.address.name}", host) for host in args.hosts]
        self.register_outputs({"path": self.path})

    def _on(self, name: str, host: Host) -> pulumi.Resource:
        args, bundle = self._args, self._args.bundle
        after = [host.ready]
        if bundle.path:
            copied = host_copy(
                f"{name}-archive",
                source=bundle.path,
                path=f"{UPLOADS}/{bundle.digest}{SUFFIX}",
                connection=host.connection,
                instance_id=host.instance_id,
                parent=self,
                after=after,
            )
            after = [copied]
        else:
            after = [*after, *args.buckets.ready]
        keys = None if bundle.path else args.buckets.keys
        document = pulumi.Output.all(instance=host.instance_id, keys=keys).apply(lambda it: self._document(host, it))
        placed: pulumi.Resource = host_script(
            f"{name}-unpacked",
            script=f"timeout -k {KILL_AFTER_S} {PLACE_S} {verified(args.tool, 'app place')}",
            connection=host.connection,
            stdin=document,
            parent=self,
            after=after,
        )
        return placed

    def _document(self, host: Host, facts: Mapping[str, Any]) -> str:
        settings = self._args.settings
        envelope = documents.envelope(settings, host.address, instance=facts["instance"], tool=self._args.tool.digest)
        place = documents.release(settings, self._args.bundle.digest, facts["keys"])
        return documents.dump({**envelope, "release": place})
