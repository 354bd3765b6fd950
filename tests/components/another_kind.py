"""Run by itself: the program with one more kind of host, a row that is added before anything else of the product is loaded. Prints what comes of it."""

from __future__ import annotations

import json

from contract import hosts

hosts.KINDS["worker"] = hosts.Kind(
    name="worker",
    octet=51,
    count=lambda sizes: 2,
    most=2,
    packages=("puma",),
    ports=(hosts.Port(name="metrics", number=9394, asked_by=(hosts.CONTROL,)),),
    shared_name="worker.{site}.dr.internal",
)

from components import config  # noqa: E402 - tables are made of the rows when they are loaded
from tests.components import stack  # noqa: E402
from tests.components.test_program import built  # noqa: E402


def main() -> None:
    stack.HOSTS.extend(f"worker-{number}.{site}" for site in "ab" for number in (1, 2))
    regions = stack.configuration("a")["regions"]
    for region in regions.values():
        region["flavors"]["worker"] = "flavor-worker"
    made = built("a", regions=regions).values()
    settings = config.parse(stack.configuration("a", regions=regions))
    host = settings.hosts_of("a")["worker-2.a"]
    print(
        json.dumps(
            {
                "resources": sorted(f"{it.type.split(':')[-1]} {it.name}" for it in made if "worker" in it.name),
                "addresses": [host.fqdn, host.front, host.vrack],
                "certificate": hosts.certificate_names(host),
                "packages": hosts.packages("worker", 17),
                "lease": hosts.lease_of("worker-1"),
                "stopped_by_a_fence": settings.server_names("b"),
            }
        )
    )


if __name__ == "__main__":
    main()
