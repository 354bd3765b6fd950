"""One host: two ports with computed addresses, a server, where asked a data volume, and the hosts' software on it.

It decides no role and starts no service: `host converge` installs packages, names, certificates and the witness's keys, and is the same
on an active and a standby site. It never replaces a server because an image or the first-boot text changed; a server is replaced on
purpose, by raising its number in `dr:regions.<site>.host_generation`, and then takes the new image and text. Its ports, addresses and
data volume stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_command import remote
from pulumi_openstack import blockstorage, compute, networking

from components.bundle import Bundle
from components.network import Network
from components.remote import (
    FIRST_CONTACT,
    LATER_CONTACT,
    connection,
    host_copy,
    host_link,
    install_script,
    upload_path,
)
from components.render import documents
from components.render.cloud_init import user_data
from components.settings import Settings
from contract.dataclass import dataclass
from contract.hosts import CONTROL, HostAddress
from contract.names import server_name


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    settings: Settings
    address: HostAddress
    network: Network
    tool: Bundle  # the dr-host archive
    bastion: pulumi.Input[str]  # public address of the site's control host
    reachable: Sequence[pulumi.Resource]  # what must exist before ssh can arrive
    server_group_id: pulumi.Input[str] | None = None  # keeps hosts of a kind on different machines
    volume_gb: int | None = None  # size of the data volume; None: no volume


class Host(pulumi.ComponentResource):
    """A server that takes orders from `dr-host`."""

    address: HostAddress
    instance_id: pulumi.Output[str]
    volume_id: pulumi.Output[str] | None
    connection: remote.ConnectionArgs
    reached: pulumi.Resource  # done once ssh works and the software is there
    ready: pulumi.Resource  # done once `host converge` is

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings, address = args.settings, args.address
        generation = settings.regions[address.site].host_generation.get(address.name, 1)
        called = server_name(settings.project, address.site, address.name)
        # A raised number changes the component first of all, and what the new server needs is looked up then (`components.leftovers`): the
        # old one is deleted before the new one is asked for. The first number says nothing, as it always did.
        told = {"name": called, "kind": address.role, "generation": generation} if generation > 1 else {}
        super().__init__("dr:index:Host", name, told, opts)
        self.address = address
        front, vrack = self._port(name, "front", args), self._port(name, "vrack", args)
        server = self._server(name, args, front, vrack)
        self.instance_id = server.id
        first: list[pulumi.Resource] = [server, *args.reachable]
        if address.role == CONTROL:
            first.append(self._public(name, args, front))
        self.volume_id = None
        if args.volume_gb is not None:
            volume, attached = self._volume(name, args, server)
            self.volume_id = volume.id
            first.append(attached)
        self.connection = connection(settings, address, args.bastion, LATER_CONTACT)
        self.reached = host_copy(
            f"{name}-tool",
            source=args.tool.path,
            path=upload_path(args.tool),
            connection=connection(settings, address, args.bastion, FIRST_CONTACT),
            instance_id=server.id,
            parent=self,
            after=first,
        )
        block = {"setup": documents.setup(settings, address.role)}
        document = server.id.apply(
            lambda instance: documents.dump(
                {**documents.envelope(settings, address, instance=instance, tool=args.tool.digest), **block}
            )
        )
        self.ready = host_link(
            f"{name}-converge",
            service="host",
            connection=self.connection,
            document=document,
            parent=self,
            after=[self.reached],
            tool=args.tool,
            first=install_script(args.tool.digest, upload_path(args.tool)),
        )
        self.register_outputs({"instance_id": self.instance_id, "volume_id": self.volume_id})

    def _port(self, name: str, side: str, args: HostArgs) -> networking.Port:
        settings, address, network = args.settings, args.address, args.network
        network_id, subnet_id, fixed = {
            "front": (network.front_network_id, network.front_subnet_id, address.front),
            "vrack": (network.vrack_network_id, network.vrack_subnet_id, address.vrack),
        }[side]
        return networking.Port(
            f"{name}-{side}",
            name=f"{server_name(settings.project, address.site, address.name)}-{side}",
            network_id=network_id,
            fixed_ips=[networking.PortFixedIpArgs(subnet_id=subnet_id, ip_address=fixed)],
            security_group_ids=network.groups_of(address.role),
            admin_state_up=True,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _server(self, name: str, args: HostArgs, front: networking.Port, vrack: networking.Port) -> compute.Instance:
        settings, address = args.settings, args.address
        region = settings.regions[address.site]
        hints = (
            [compute.InstanceSchedulerHintArgs(group=args.server_group_id)]
            if args.server_group_id is not None
            else None
        )
        first_boot = user_data(address, settings.secrets.host_keys[address.key], settings.secrets.operator.public)
        return compute.Instance(
            f"{name}-server",
            # The fence of the other site finds the server by this name.
            name=server_name(settings.project, address.site, address.name),
            flavor_id=region.flavors[address.role],
            image_id=region.image_id,
            # Front first: it carries the default route.
            networks=[compute.InstanceNetworkArgs(port=front.id), compute.InstanceNetworkArgs(port=vrack.id)],
            config_drive=True,
            user_data=pulumi.Output.secret(first_boot),
            scheduler_hints=hints,
            metadata={"role": address.role, "generation": str(region.host_generation.get(address.name, 1))},
            opts=pulumi.ResourceOptions(
                parent=self,
                # Images are published again under new ids, and the text changes with its template: neither is a reason to
                # replace a server. A replacement on purpose takes the new values all the same.
                ignore_changes=["image_id", "user_data"],
                replace_on_changes=["metadata"],
                # Ports and volume can belong to one server at a time.
                delete_before_replace=True,
            ),
        )

    def _public(self, name: str, args: HostArgs, front: networking.Port) -> pulumi.Resource:
        bound: pulumi.Resource = networking.FloatingIpAssociate(
            f"{name}-ip",
            floating_ip=args.bastion,
            port_id=front.id,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.network.routed]),
        )
        return bound

    def _volume(
        self, name: str, args: HostArgs, server: compute.Instance
    ) -> tuple[blockstorage.Volume, pulumi.Resource]:
        settings = args.settings
        volume = blockstorage.Volume(
            f"{name}-data",
            name=f"{server_name(settings.project, args.address.site, args.address.name)}-data",
            size=args.volume_gb,
            volume_type=settings.region.volume_type,
            enable_online_resize=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=settings.protects,
                retain_on_delete=settings.protect,
                # A type is chosen once: the platform cannot turn a plain volume into an encrypted one, only a new volume would do.
                ignore_changes=["volume_type"],
            ),
        )
        attached = compute.VolumeAttach(
            f"{name}-data-attached",
            instance_id=server.id,
            volume_id=volume.id,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        return volume, attached
