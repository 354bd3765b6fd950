"""The copying of assets between the sites' buckets: the copier on control-1, and the link that turns its direction by the epoch.

It makes no bucket and waits for no copy: the link says what is pulled from where, a timer on the host does the rest. The platform's own
replication is turned by a link of its own, beside the chain.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.asset_buckets import AssetBuckets
from components.bundle import Bundle
from components.chain import Chain
from components.host import Host
from components.remote import host_copy, host_script, install_script, local_link, upload_path
from components.render import documents, links
from contract.dataclass import dataclass
from contract.limits import KILL_AFTER_S, UNPACK_S

COPIER_PATH = "/opt/dr/dr-assets.pyz"


class Copier(pulumi.ComponentResource):
    """The dr-assets archive on the host that copies, put into its place whole: a timer may start it at any moment. `ready` once it is there; it
    starts nothing.
    """

    ready: pulumi.Resource

    def __init__(self, name: str, bundle: Bundle, host: Host, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Copier", name, {}, opts)
        arrived = upload_path(bundle)
        copied = host_copy(
            f"{name}-archive",
            source=bundle.path,
            path=arrived,
            connection=host.connection,
            instance_id=host.instance_id,
            parent=self,
            after=[host.ready],
        )
        script = install_script(bundle.digest, arrived, COPIER_PATH)
        self.ready = host_script(
            f"{name}-installed",
            script=f"timeout -k {KILL_AFTER_S} {UNPACK_S} sh -c '{script}'",
            connection=host.connection,
            # Read by nobody: it differs on a new server, which makes the script run there.
            stdin=host.instance_id,
            parent=self,
            after=[copied],
        )
        self.register_outputs({})


@dataclass(frozen=True, kw_only=True)
class AssetSyncArgs:
    chain: Chain
    host: Host
    buckets: AssetBuckets
    after: Sequence[pulumi.Resource]


class AssetSync(pulumi.ComponentResource):
    """`done` once the bucket has its role."""

    done: pulumi.Resource

    def __init__(self, name: str, args: AssetSyncArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:AssetSync", name, {}, opts)
        settings = args.chain.settings
        block = args.buckets.copier_keys.apply(lambda keys: documents.assets(settings, keys))
        self.done = args.chain.link(
            f"{name}-converge", host=args.host, service="assets", block=block, parent=self, after=args.after
        )
        self.register_outputs({})


@dataclass(frozen=True, kw_only=True)
class AssetRulesArgs:
    chain: Chain
    after: Sequence[pulumi.Resource]


class AssetRules(pulumi.ComponentResource):
    """The platform's replication rules of both asset buckets, by the epoch. In mode `copy` too: a rule that an earlier mode left is disabled."""

    def __init__(self, name: str, args: AssetRulesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:AssetRules", name, {}, opts)
        settings = args.chain.settings
        document = args.chain.epoch.apply(
            lambda epoch: documents.dump(links.replication(settings, documents.epoch_of(epoch)))
        )
        local_link(f"{name}-replication", link="replication", document=document, parent=self, after=args.after)
        self.register_outputs({})
