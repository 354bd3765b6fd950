"""The JSON documents that the links on the operator's machine read on stdin, in the forms of the contract. Pure; each holds secrets."""

from __future__ import annotations

from collections.abc import Mapping

from components.certificates import ends
from components.render.documents import Document, host_keys, witness
from components.settings import Settings
from contract import access, agreement, fields
from contract.epoch import InForce
from contract.hosts import APP, CACHE
from contract.links import fence as fence_link
from contract.links import forward as forward_link
from contract.links import keeper as keeper_link
from contract.links import pointer as pointer_link
from contract.links import replication as replication_link
from contract.links import turn as turn_link
from contract.links import verify as verify_link
from contract.services.assets import Mode
from contract.services.web import Health


def openstack(settings: Settings) -> access.OpenStack:
    """How to log in at OpenStack."""
    stack = settings.openstack
    return access.OpenStack(
        auth_url=stack.auth_url,
        user=stack.user,
        password=settings.secrets.openstack_password,
        project_id=stack.project_id,
        domain=stack.domain,
    )


def ovh(settings: Settings) -> access.Ovh:
    """How to sign at the OVHcloud API."""
    keys = settings.secrets.ovh
    return access.Ovh(
        endpoint=settings.ovh.endpoint,
        application_key=keys.application_key,
        application_secret=keys.application_secret,
        consumer_key=keys.consumer_key,
    )


def fence(settings: Settings, public: Mapping[str, str], instances: Mapping[str, str]) -> Document:
    """Of the fence link; `public` are the own site's addresses `lb` and `bastion`, `instances` the ids of its servers by their names."""
    servers = fence_link.Servers(
        **vars(openstack(settings)),
        regions={site: region.compute_region for site, region in settings.regions.items()},
        servers={site: tuple(settings.leased_servers(site)) for site in settings.regions},
        workers={site: tuple(settings.workers(site)) for site in settings.regions},
    )
    document = fence_link.Document(
        site=settings.site,
        peer=settings.peer,
        repair=settings.repair,
        request=settings.failover_region,
        without_fence=settings.without_fence,
        data_loss=settings.data_loss,
        empty=settings.begin_empty,
        other_configuration=settings.other_configuration,
        configuration=agreement.digests(settings),
        since=settings.secrets.since,
        certificates=ends(settings),
        loss_budget=settings.loss_budget,
        lease=settings.lease,
        witness=witness(settings),
        host_keys=host_keys(settings),
        ssh=ssh(settings, {settings.site: public["bastion"]}),
        openstack=servers,
        apps=_names(settings, APP),
        caches=_names(settings, CACHE),
        public=fence_link.Public(lb=public["lb"], bastion=public["bastion"]),
        instances=dict(instances),
    )
    return dict(fields.write(document))


def _names(settings: Settings, kind: str) -> tuple[str, ...]:
    """Names within its site of the peer's hosts of one kind."""
    return tuple(it.name for it in settings.hosts_of(settings.peer).values() if it.role == kind)


def ssh(settings: Settings, bastions: Mapping[str, str]) -> access.Ssh:
    """The operator's way to the hosts; `bastions`: public addresses of those that are known, by site."""
    return access.Ssh(
        private_key=settings.secrets.operator.private,
        hosts={
            key: access.SshHost(vrack=it.vrack, front=it.front, host_key=settings.secrets.host_keys[key].public)
            for key, it in settings.hosts.items()
        },
        bastions=dict(bastions),
    )


def turn(settings: Settings, bastion: str, service: str, program: str, told: Mapping[str, str]) -> Document:
    """Of a turn link; `program`: shell that runs on each host; `told`: what it is told there, by its key."""
    document = turn_link.Document(
        site=settings.site,
        service=service,
        program=program,
        documents=told,
        ssh=ssh(settings, {settings.site: bastion}),
        witness=witness(settings),
    )
    return dict(fields.write(document))


def verify(settings: Settings, epoch: InForce, address: str) -> Document:
    """Of the verify link; `address` is the load balancer's floating IP."""
    document = verify_link.Document(
        **{name: getattr(settings.app, name) for name in fields.keys(Health)},
        site=settings.site,
        peer=settings.peer,
        repair=settings.repair,
        epoch=epoch,
        shop_host=settings.shop.host,
        address=address,
        ca=settings.entrance_cas,
        public=settings.entrance_public,
        hosts=len(settings.keys_of(APP, settings.site)),
        witness=witness(settings),
    )
    return dict(fields.write(document))


def forward(settings: Settings, epoch: InForce, bastion: str) -> Document:
    """Of the forward link."""
    document = forward_link.Document(
        site=settings.site,
        repair=settings.repair,
        epoch=epoch,
        apps=_names(settings, APP),
        ssh=ssh(settings, {settings.site: bastion}),
        witness=witness(settings),
    )
    return dict(fields.write(document))


def pointer(settings: Settings, epoch: InForce, address: str) -> Document:
    """Of the pointer link."""
    document = pointer_link.Document(
        site=settings.site,
        repair=settings.repair,
        epoch=epoch,
        dns=settings.dns,
        address=address,
        witness=witness(settings),
        ovh=ovh(settings),
    )
    return dict(fields.write(document))


def keeper(settings: Settings, address: str) -> Document:
    """Of the keeper."""
    document = keeper_link.Document(
        site=settings.site, destroy=settings.destroy, dns=settings.dns, address=address, witness=witness(settings)
    )
    return dict(fields.write(document))


def replication(settings: Settings, epoch: InForce) -> Document:
    """Of the replication link."""
    mode = settings.assets.mode
    document = replication_link.Document(
        site=settings.site,
        repair=settings.repair,
        epoch=epoch if mode != Mode.COPY else None,
        mode=mode,
        service_name=settings.service_name,
        buckets={
            site: replication_link.Place(region=region.storage_region, bucket=settings.bucket(site, "assets"))
            for site, region in settings.regions.items()
        },
        witness=witness(settings),
        ovh=ovh(settings),
    )
    return dict(fields.write(document))
