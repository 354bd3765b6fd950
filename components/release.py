"""The shop's release on every app host of the site, under the digest of its contents.

One archive and an unpacking that appears at once or not at all: a copied folder would arrive half, and a second copy of it inside the
first. It starts nothing and changes no link to "the current release"; the app link names the release it wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi

from components.bundle import Bundle
from components.host import Host
from components.remote import UPLOADS, host_copy, host_script
from contract.limits import KILL_AFTER_S, UNPACK_S

RELEASES = "/opt/shop/releases"


@dataclass(frozen=True, kw_only=True)
class ReleaseArgs:
    bundle: Bundle
    hosts: Sequence[Host]


class Release(pulumi.ComponentResource):
    """`path` is where the release lies on each host once `ready` is done."""

    path: str
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: ReleaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Release", name, {}, opts)
        self.path = f"{RELEASES}/{args.bundle.digest}"
        self.ready = [self._on(f"{name}-{host.address.name}", host, args.bundle) for host in args.hosts]
        self.register_outputs({"path": self.path})

    def _on(self, name: str, host: Host, bundle: Bundle) -> pulumi.Resource:
        archive = f"{UPLOADS}/{bundle.digest}.tar.gz"
        copied = host_copy(
            f"{name}-archive",
            source=bundle.path,
            path=archive,
            connection=host.connection,
            instance_id=host.instance_id,
            parent=self,
            after=[host.ready],
        )
        unpacked: pulumi.Resource = host_script(
            f"{name}-unpacked",
            script=unpack_script(self.path, archive),
            connection=host.connection,
            # Read by nobody: it differs on a new server, which makes the script run there.
            stdin=host.instance_id,
            parent=self,
            after=[copied],
        )
        return unpacked


def unpack_script(release: str, archive: str) -> str:
    """Shell that unpacks once and removes archives of other releases; a second run does nothing."""
    partial = f"{release}.partial"
    steps = (
        f"rm -rf {partial}",
        f"mkdir -p {partial}",
        f"tar -xzf {archive} -C {partial} --no-same-owner",
        f"mv -T {partial} {release}",
    )
    others = f"find {PurePosixPath(archive).parent} -name '*.tar.gz' ! -path {archive} -delete"
    return f'timeout -k {KILL_AFTER_S} {UNPACK_S} sh -c "set -eu; umask 022; test -d {release} || {{ {"; ".join(steps)}; }}; {others}"'
