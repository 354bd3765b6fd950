"""The keeper of a site: it stands on all that the site needs, so a destroy has to begin with it, and while it stays everything stays.

The engine deletes nothing before what depends on it, whatever it is asked for (`--target`, `--exclude-protected`, `--skip-preview`). So this one
resource guards servers, rules and the balancer, which a run must be able to replace and which can bear no protection of their own. It has
two locks: the engine's (`protect`), and a question to the witness at its deletion, which stands where somebody has lifted the first one.
It does nothing when it is made or told anew, and waits for nothing of the role chain.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.remote import local_keeper
from components.render import documents, links
from components.settings import Settings
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class KeeperArgs:
    settings: Settings
    address: pulumi.Input[str]  # public, of the own load balancer
    stands_on: Sequence[pulumi.Resource]  # components and resources; of a component all that it is made of


class Keeper(pulumi.ComponentResource):
    """Deleted first of all, and only when the witness says that the site is not active, or the operator names it."""

    def __init__(self, name: str, args: KeeperArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Keeper", name, {}, opts)
        settings = args.settings
        document = pulumi.Output.from_input(args.address).apply(
            lambda address: documents.dump(links.keeper(settings, address))
        )
        local_keeper(
            f"{name}-asks", document=document, parent=self, stands_on=args.stands_on, protect=settings.protects
        )
        self.register_outputs({})
