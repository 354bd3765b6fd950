"""One region of the shop, and its place in the pair. Read from top to bottom, the second half is the order of a failover.

What is created is the same whichever region is active; `failover_region` is a request that the fence link answers with an epoch.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pulumi

from components import advice, bundle, certificates, config, fitting, leftovers, state
from components.app_tier import AppTier, AppTierArgs
from components.archive import ArchiveLink, ArchiveLinkArgs, ArchivePlace, ArchivePlaceArgs
from components.asset_buckets import AssetBuckets, AssetBucketsArgs
from components.asset_sync import AssetRules, AssetRulesArgs, AssetSync, AssetSyncArgs, Copier
from components.chain import Chain
from components.failover_dns import FailoverDNS, FailoverDNSArgs
from components.fence import Fence, FenceArgs
from components.keeper import Keeper, KeeperArgs
from components.logs import Logs, LogsArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.postgres_pair import PostgresPair, PostgresPairArgs
from components.providers import providers
from components.redis_pair import RedisPair, RedisPairArgs
from components.region_stack import RegionStack, RegionStackArgs
from components.release import Release, ReleaseArgs
from components.render import firewall
from components.render.documents import witness
from components.render.links import openstack, ovh
from components.settings import Settings
from components.verify import Verify, VerifyArgs
from contract.agreement import digests
from contract.chain import digest
from contract.errors import ConfigError, DrError
from scripts.clients.run_lease import RunLease
from scripts.clients.trail import Note, ended
from scripts.leftovers.boots import Boots
from scripts.leftovers.clear import Leftovers
from scripts.leftovers.writer import may_write
from scripts.links import power, preflight
from scripts.links.agreement import Side


def main() -> None:
    """Reads, asks the witness, declares. Raises `RunError`, before any resource, when the stack must not run as configured."""
    root, changes, settings = Path(__file__).resolve().parent, not pulumi.runtime.is_dry_run(), None
    try:
        settings = config.load()
        if changes:
            tell = partial(logging.getLogger("dr.run").warning, "%s")
            RunLease(witness(settings), settings.site, "up", os.environ, tell=tell).take()
        side = Side(
            site=settings.site,
            digests=digests(settings),
            word=settings.other_configuration,
            certificates=certificates.ends(settings),
            since=settings.secrets.since,
        )
        told = preflight.check(
            side, settings.failover_region, witness(settings), settings.words, settings.destroy, runs=changes
        )
        kept = state.backend(os.environ, Path.home())
        for warning in (*advice.warnings(settings), *state.check(settings, kept, os.environ, first=told.first)):
            pulumi.warn(warning)
        settings = replace(settings, repair=settings.repair + told.mends, destroy=told.destroy)
        bundles = Bundles(
            tool=bundle.dr_host(root),
            copier=bundle.dr_assets(root),
            shop=bundle.release(root, settings.shop.release, settings.app.processes, settings.app.release_max_mb),
        )
        misfits = fitting.misfits(settings, bundles.shop.processes)
        if misfits and not changes and not told.takes_over:
            raise ConfigError(misfits)
        for (
            fault
        ) in misfits:  # a shop that is short of sessions under load is better than one that stays where it is lost
            pulumi.warn(str(fault))
    except DrError as error:
        if changes and settings is not None:
            _note(settings, ended(error), said=str(error))
        raise pulumi.RunError(str(error)) from None
    if changes:
        _note(settings, "run", epoch=told.epoch, facts=_brings(settings, bundles, told))
        # Not joined: the engine is told of resources once this function has returned, and the process ends after its threads.
        threading.Thread(target=_start_servers, args=(settings, told.servers), name="servers").start()
    declare(settings, bundles)


def _note(settings: Settings, what: str, **more: Any) -> None:
    """Into the audit trail, beside everything else: nothing waits for it, and what cannot be written is told."""
    tell = partial(logging.getLogger("dr.audit").warning, "%s")
    Note(witness(settings), what, settings.site, tell=tell, why=settings.why or "", **more)


def _brings(settings: Settings, bundles: Bundles, told: preflight.Told) -> dict[str, str]:
    """What this run comes with, as digests: a release and a rotation show by them."""
    return {
        "request": settings.failover_region,
        "release": bundles.shop.digest,
        "tool": bundles.tool.digest,
        "configuration": digest(json.dumps(digests(settings), sort_keys=True).encode())[:16],
        "secrets": settings.fingerprint,
        "words": " ".join(told.words),
    }


def _start_servers(settings: Settings, ids: dict[str, str]) -> None:
    """Whatever a fence has stopped is needed from the first host on. Beside everything else: an API that is dead must not hold up a take-over."""
    power.start(openstack(settings), settings.region.compute_region, settings.server_names(settings.site), ids)


@dataclass(frozen=True, kw_only=True)
class Bundles:
    """What is uploaded to hosts."""

    tool: bundle.Bundle  # dr-host
    copier: bundle.Bundle  # dr-assets
    shop: bundle.Bundle


def _clears(settings: Settings) -> None:
    """What is in the way of a server or a volume goes before it is made."""
    at_work = partial(may_write, settings.site, witness(settings))
    here = settings.region
    wanted = Boots(site=settings.site, image_id=here.image_id, flavors=here.flavors, rules=firewall.count(settings))
    leftovers.watch(Leftovers(openstack(settings), here.compute_region, ovh(settings), at_work, wanted))


def declare(settings: Settings, bundles: Bundles) -> None:
    """The whole stack."""
    tool = bundles.tool
    _clears(settings)
    opts = pulumi.ResourceOptions(providers=providers(settings))

    # The same whatever the role: hosts, entrance, buckets, the release on every app host.
    region = RegionStack("region", RegionStackArgs(settings=settings, tool=tool), opts)
    buckets = AssetBuckets("assets", AssetBucketsArgs(settings=settings), opts)
    to_run = ReleaseArgs(settings=settings, tool=tool, bundle=bundles.shop, hosts=region.of("app"), buckets=buckets)
    release = Release("release", to_run, opts)
    copier = Copier("copier", bundles.copier, region.hosts["control-1"], opts)
    place_args = ArchivePlaceArgs(settings=settings, tool=tool, host=region.hosts["db-1"], buckets=buckets)
    place = ArchivePlace("archive-place", place_args, opts)
    built = [*region.ready, *buckets.ready, *release.ready, copier.ready, *place.ready]

    # The role chain: the fence, then data, then those who use them until the shop is proven to sell, then the name. Orders need no cache: it is asked
    # beside.
    fence_args = FenceArgs(
        settings=settings, address=region.address, bastion=region.bastion, instances=region.instances(), after=built
    )
    fence = Fence("fence", fence_args, opts)
    chain = Chain(settings=settings, tool=tool, epoch=fence.epoch, bastion=region.bastion)
    database = PostgresPair(
        "postgres", PostgresPairArgs(chain=chain, host=region.hosts["db-1"], after=[fence.done]), opts
    )
    cache = RedisPair("redis", RedisPairArgs(chain=chain, hosts=region.of("cache"), after=[fence.done]), opts)
    sync_args = AssetSyncArgs(chain=chain, host=region.hosts["control-1"], buckets=buckets, after=[fence.done])
    sync = AssetSync("sync", sync_args, opts)
    data = [database.done, sync.done]
    app_args = AppTierArgs(chain=chain, hosts=region.of("app"), release=release, buckets=buckets, after=data)
    app = AppTier("app", app_args, opts)
    # It asks until the shop sells: one host that is dead must not keep the name from moving to those that are well.
    proof = Verify("verify", VerifyArgs(chain=chain, address=region.address, after=data), opts)
    # Beside the chain from here on: no client waits for backups, caches and workers.
    archive_args = ArchiveLinkArgs(chain=chain, host=region.hosts["db-1"], place=place, after=[proof.done])
    ArchiveLink("archive", archive_args, opts)
    cache.settle(after=[proof.done])
    app.settle(after=[proof.done])
    app.forward(after=[proof.done])
    dns = FailoverDNS("dns", FailoverDNSArgs(chain=chain, address=region.address, after=[proof.done]), opts)
    # After the last step of a failover: the platform copies when it likes, no client waits for it.
    AssetRules("asset-rules", AssetRulesArgs(chain=chain, after=[dns.done]), opts)
    # The same whatever the role, and last: whoever watches is in nobody's way, and neither are copies of journals.
    Monitoring("monitoring", MonitoringArgs(settings=settings, tool=tool, region=region, after=[proof.done]), opts)
    Logs("logs", LogsArgs(settings=settings, tool=tool, region=region, after=[proof.done]), opts)
    # Beside the chain, and before everything at a destroy: it stands on whatever the site needs, so nothing of that goes while it stays.
    Keeper(
        "keeper",
        KeeperArgs(settings=settings, address=region.address, stands_on=[region, buckets, *buckets.ready, dns.own]),
        opts,
    )

    pulumi.export("site", settings.site)
    pulumi.export("address", region.address)
    pulumi.export("bastion", region.bastion)
    pulumi.export("record", dns.record)
    if buckets.offsite_keys is not None:
        pulumi.export("offsite", buckets.offsite_keys)
    pulumi.export("releases", buckets.release_keys)


if __name__ == "__main__":
    # This process ends with the run, some seconds from now. Looking for cycles among the objects of 180 resources again and again takes half a second of
    # each run, a failover's too, and frees a megabyte.
    gc.disable()
    main()
