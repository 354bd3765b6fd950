"""The state of the world before anything is made: what the platform says, what the files hold, and all that stands against a beginning."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import config as program
from components.settings import Settings
from contract.access import OpenStack
from contract.beginning import Answers
from contract.errors import ConfigError, DrError, Usage
from contract.plain import shown
from contract.platform import Bucket
from contract.sites import SITES
from contract.witness import HOST_USERS, USERS
from scripts.clients.openstack import Cloud
from scripts.clients.ovh import OvhApi
from scripts.ctl.beginning import account, needs, regions, rights
from scripts.ctl.beginning.account import Person, Third
from scripts.ctl.beginning.credentials import Credentials
from scripts.ctl.beginning.regions import Seen
from scripts.ctl.beginning.values import Told, before, values, witness
from scripts.ctl.stacks.configuration import SHARED, load, own_values, stack_file
from scripts.ctl.stacks.secrets import generate, host_names

ANSWER_S = 20.0
STORES = ("storage-s3-standard", "storage-s3-high-perf")
# In the place of the keys to the witness: the configuration is looked at before there are any.
_PLAYED = {
    "access_key": "access",
    "secret_key": "secret",
    "hosts": {user: {"access_key": f"access-{user}", "secret_key": f"secret-of-{user}"} for user in HOST_USERS},
}
_PLAYED_PAGE = {"access_key": "access-page", "secret_key": "secret-of-page"}
LookUp = Callable[[Iterable[str]], tuple[str, ...]]


@dataclass(kw_only=True)
class World:
    """`config`: of `Pulumi.yaml` as it is to be, by full key; empty where too little is known for it."""

    third: Third
    regions: dict[str, Seen] = field(default_factory=dict)
    buckets: dict[str, Bucket | None] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Settings] = field(default_factory=dict)  # what the program would make of it, by site
    against: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def witness_user(answers: Answers, user: str) -> str:
    """What a user of the witness is called at the platform; `user`: one of `contract.witness.USERS`."""
    return f"{answers.witness_bucket} {user}"


def state_user(answers: Answers) -> str:
    """The same of that of Pulumi's state."""
    return f"{answers.state_bucket} state"


def page_user(answers: Answers) -> str | None:
    """The same of that which writes the page for customers; None where there is none."""
    return f"{answers.witness.page_bucket} page" if answers.witness.page_bucket else None


def rules_user(answers: Answers) -> str:
    """The same of that which puts the buckets' rules, and is removed once they are there."""
    return f"{answers.witness_bucket} rules"


def look(answers: Answers, credentials: Credentials, folder: Path, look_up: LookUp | None = None) -> World:
    """Changes nothing. `look_up`: addresses of name servers, of this machine's resolver by default. Raises Usage for files that cannot be read."""
    maker = rights.api(answers, credentials, credentials.maker)
    world = World(third=Third(maker, answers.third_project, answers.witness.storage_region))
    written = _files(answers, folder, world)
    world.against += _readable(answers)
    if world.against:
        return world  # nobody is asked: a password would go over for anybody to read
    servers = answers.asked.name_servers
    lacking, warnings = rights.judge(answers, credentials)
    world.against += lacking
    world.warnings += warnings
    if not lacking:
        found = _account(answers, maker, world)
        servers = servers or _addresses(found, world, look_up or addresses)
        _third(answers, world)
    for site in SITES:
        place = answers.regions[site].compute_region
        cloud = Cloud(_project(answers, credentials), place, answer_s=ANSWER_S)
        old = (written.get("dr:regions") or {}).get(site) or {}
        world.regions[site] = seen = regions.look(cloud, site, answers, old)
        world.against += seen.against
        world.warnings += seen.warnings
    ids = {site: seen.ids for site, seen in world.regions.items() if seen.ids is not None}
    if len(ids) == len(SITES) and servers:
        told = Told(
            ids=ids,
            project_name=world.regions["a"].project_name,
            user=credentials.user,
            domain=credentials.domain,
            name_servers=servers,
        )
        world.config = values(answers, told, written)
        _hold(answers, credentials, world)
    return world


def addresses(names: Iterable[str]) -> tuple[str, ...]:
    """Address and port of each name server that this machine's resolver knows."""
    found: dict[str, None] = {}
    for name in names:
        try:
            rows = socket.getaddrinfo(name, 53, socket.AF_INET, socket.SOCK_DGRAM)
        except OSError:
            continue
        found |= {f"{row[4][0]}:53": None for row in rows}
    return tuple(found)


def _readable(answers: Answers) -> Iterator[str]:
    """A sentence for each address that would be asked in clear."""
    asked = {
        "endpoints.auth_url": answers.asked.auth_url,
        "endpoints.ovh": answers.asked.ovh,
        "witness.s3_endpoint": witness(answers)["endpoint"],
    }
    for name, url in asked.items():
        if url.startswith("http:") and not answers.rehearsal:
            yield (
                f"{name}: found {shown(url)}, wanted an https:// address: whoever stands between would read passwords and keys, so nobody was asked; "
                "correct it, or, for "
                "a rehearsal alone, answer rehearsal=true"
            )


def _project(answers: Answers, credentials: Credentials) -> OpenStack:
    return OpenStack(
        auth_url=answers.asked.auth_url,
        user=credentials.user,
        password=credentials.password,
        project_id=answers.service_name,
        domain=credentials.domain,
    )


def _files(answers: Answers, folder: Path, world: World) -> dict[str, Any]:
    """What `Pulumi.yaml` holds. Keys of both regions that stand in a stack file would win over what is written there."""
    for site in SITES:
        path = stack_file(folder, site)
        if path.exists() and load(path).get("config") is not None:
            stray = [name for name in own_values(path) if name in SHARED]
            if stray:
                world.against.append(
                    f"stack file {path}: holds {', '.join(stray)}, wanted them in Pulumi.yaml alone, where they are written to: what stands here "
                    "would win; run "
                    "`drctl config share`, or take them out"
                )
    return before(folder)


def _account(answers: Answers, maker: OvhApi, world: World) -> Sequence[str]:
    """Regions, vRack, zone. Returns the zone's name servers."""
    project = answers.service_name
    places = {answers.storage_region(site): project for site in SITES}
    places[answers.witness.storage_region] = answers.third_project
    for region, of in places.items():
        with _Against(world):
            offered = account.services(maker, of, region)
            if not any(offered.get(name) == "UP" for name in STORES):
                found = "no such region" if not offered else f"{', '.join(sorted(offered))}"
                world.against.append(
                    f"storage region {region} of project {of}: found {found}, wanted object storage (S3) that is UP; no bucket can be made there; enable the "
                    "region in the Control Panel, or answer storage_region with another one"
                )
    with _Against(world):
        if account.vrack(maker, project) is None:
            world.against.append(
                f"vRack of project {project}: found none, wanted one: it carries the network that both regions share; order one (it is free) and add the "
                "project to it in the Control Panel"
            )
    with _Against(world):
        zone = account.zone(maker, answers.zone)
        if zone is not None:
            return zone.servers
        world.against.append(
            f"zone {answers.zone}: is none of this account, wanted one that its key may change: the shop's name could not move; correct the answer, "
            "or delegate "
            "the name to a zone at OVHcloud"
        )
    return ()


def _addresses(names: Sequence[str], world: World, look_up: LookUp) -> tuple[str, ...]:
    found = look_up(names) if names else ()
    if names and not found:
        world.against.append(
            f"name servers {', '.join(names)}: have no address that this machine's resolver knows, wanted theirs for dr:dns.servers; nobody could "
            "prove that a "
            "move is served; see whether this machine resolves names, or answer endpoints.name_servers"
        )
    return found


def _third(answers: Answers, world: World) -> None:
    if answers.third_project == answers.service_name:
        world.warnings.append(
            f"witness: would be in the shop's own project {answers.service_name}, wanted one of its own (docs/security.md): whoever has the program's "
            "consumer key "
            "can make a user that opens it; answer witness.service_name"
        )
    if answers.witness_bucket == answers.state_bucket:
        world.against.append(
            f"bucket {answers.witness_bucket}: would hold witness and Pulumi's state, wanted one for each: every host has a key to the witness, and whoever "
            "writes the state plants commands; answer witness.state_bucket with another name"
        )
    if answers.witness.page_bucket in (answers.witness_bucket, answers.state_bucket):
        world.against.append(
            f"bucket {answers.witness.page_bucket}: would hold what anybody may read beside what nobody may, wanted one for each; answer witness.page_bucket "
            "with another name"
        )
    with _Against(world):
        for name in filter(None, (answers.witness_bucket, answers.state_bucket, answers.witness.page_bucket)):
            world.buckets[name] = world.third.bucket(name)
    with _Against(world):
        names = [*(witness_user(answers, user) for user in USERS), state_user(answers), rules_user(answers)]
        world.people = world.third.people([*names, *filter(None, [page_user(answers)])])
    there = world.buckets.get(answers.witness_bucket)
    if there is not None and (there.lock is None or there.lock.status != "enabled"):
        world.warnings.append(
            f"bucket {answers.witness_bucket}: has no object lock, wanted it, in compliance mode: whoever holds the account's keys can remove the "
            "epochs; it comes "
            "with a bucket's creation alone, so answer witness.bucket with another name while the shop has never been up"
        )


def _hold(answers: Answers, credentials: Credentials, world: World) -> None:
    """The configuration as the program would read it, and what it takes of the quotas."""
    aliases = world.config["dr:shop"].get("aliases", ())
    secrets = generate(host_names(world.config), answers.host, outside(credentials, _PLAYED, _PLAYED_PAGE), aliases)
    shared = {name.removeprefix("dr:"): value for name, value in world.config.items() if name.startswith("dr:")}
    for site in SITES:
        own = {"site": site, "failover_region": "a", "lab": answers.rehearsal, "secrets": secrets}
        try:
            world.settings[site] = settings = program.parse({**shared, **own}, {"secrets"})
        except ConfigError as error:
            told = [str(fault) for fault in error.faults]
            world.against += [each for each in told if each not in world.against]
            continue
        seen = world.regions[site]
        if seen.built:
            continue
        wanted = needs.needs(settings, seen.flavors)
        world.against += needs.against(seen.region, wanted, seen.quotas)
        if unknown := needs.unknown(wanted, seen.quotas):
            world.warnings.append(
                f"quotas of region {seen.region}: nobody says what is left of {', '.join(unknown)}, wanted room for this shop; a run may stop in its "
                "middle; look at "
                "Quota and Regions in the Control Panel"
            )


def outside(credentials: Credentials, witness: Mapping[str, Any], page: Mapping[str, str] | None) -> dict[str, Any]:
    """What of `dr:secrets` is not made here. `witness`: its part of that name; `page`: the key to the page for customers, where there is one."""
    return {
        "openstack_password": credentials.password,
        "ovh": {
            "application_key": credentials.application_key,
            "application_secret": credentials.application_secret,
            "consumer_key": credentials.consumer_key,
        },
        "witness": witness,
        **({"monitoring": {"status_page": page}} if page else {}),
    }


class _Against:
    """What the platform refuses inside of it becomes a reason against the beginning; the looks behind it go on."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if isinstance(error, DrError) and not isinstance(error, Usage):
            self._world.against.append(str(error))
            return True
        return False
