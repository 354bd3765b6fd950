"""Rules between keys of several sections: values that are fine alone and wrong together. Those within one section are the contract's."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address
from itertools import combinations
from urllib.parse import urlsplit

from components import telling, trust
from components.settings import Settings
from contract import ssh_keys
from contract.hosts import VRACK_POOL, host_names
from contract.installation import Region
from contract.reading import Section
from contract.services.commits import Mode
from contract.services.environment import secrets_named
from contract.sites import SITES
from contract.watch import Mode as Watching
from contract.witness import LATER_USERS

# OVHcloud uses this range inside Ext-Net for the gateways of floating IPs.
FLOATING_IP_RANGE = "172.31.0.0/17"
OPERATORS_PREFIX = 16  # an organisation's own network, at the widest


def readable(settings: Settings) -> bool:
    """Whether the keys that the rules compare were all read; a file with faults elsewhere still gets its contradictions told."""
    if settings.regions is None or any(region is None for region in settings.regions.values()):
        return False
    values: list[object] = [settings.vrack.cidr, settings.dns.zone, settings.dns.subdomain, settings.shop.host]
    values += [
        settings.operator_cidrs,
        settings.postgres.parameters,
        settings.witness.region,
        settings.app.hosts,
        settings.redis.cache_replicas,
    ]
    for region in settings.regions.values():
        values += [
            region.compute_region,
            region.storage_region,
            region.s3_region,
            region.front_cidr,
            region.vrack_offset,
        ]
    return None not in values


def check(settings: Settings, root: Section) -> None:
    """Adds a fault to the section's list for every contradiction, where the keys that are compared were all read."""
    if not readable(settings):
        return
    for key, found, wanted, consequence, remedy in (
        *_networks(settings),
        *_offsets(settings),
        *_regions(settings),
        *_witness(settings),
        *_endpoints(settings),
        *_names(settings),
        *_operators(settings),
        *_shut_out(settings),
        *_waiting(settings),
        *_generations(settings),
        *_archive(settings),
        *telling.faults(settings),
        *_destroy(settings),
        *_app_secrets(settings),
        *_acme(settings),
        *trust.faults(settings),
    ):
        root.fault(key, wanted, consequence, remedy, found=found)


_Row = tuple[str, str, str, str, str]  # key, found, wanted, consequence, remedy


def _app_secrets(settings: Settings) -> Iterator[_Row]:
    """Of what the environment names; one that is held and not named goes nowhere."""
    if settings.app.processes is None or settings.app.env is None or settings.secrets.app is None:
        return
    values = {"app.env": settings.app.env}
    values |= {f"app.processes.{name}.env": it.env for name, it in settings.app.processes.items() if it.env is not None}
    for path, env in values.items():
        for variable, value in env.items():
            for name in secrets_named([value]):
                if name not in settings.secrets.app:
                    yield (
                        f"{path}.{variable}",
                        f"the secret {name}",
                        f"a secret of that name, app.{name} in dr:secrets",
                        "the shop would not be told what it needs",
                        "add it to the object that was kept and store that in both stacks (docs/your-shop.md), or correct the name",
                    )


def _networks(settings: Settings) -> Iterator[_Row]:
    networks = {"vrack.cidr": settings.vrack.cidr}
    networks |= {f"regions.{site}.front_cidr": settings.regions[site].front_cidr for site in SITES}
    for (one, first), (two, second) in combinations(networks.items(), 2):
        if IPv4Network(first).overlaps(IPv4Network(second)):
            yield (
                one,
                repr(first),
                f"a network apart from dr:{two} ({second})",
                "an address would mean two hosts, and nobody detects it",
                f"give one of them another range, like 10.{_free(networks)}.0.0/24",
            )
    for key, network in networks.items():
        if IPv4Network(network).overlaps(IPv4Network(FLOATING_IP_RANGE)):
            yield (
                key,
                repr(network),
                f"a network outside {FLOATING_IP_RANGE}",
                "OVHcloud uses that range behind floating IPs, which stop working",
                f"use another range, like 10.{_free(networks)}.0.0/24",
            )


def _free(networks: dict[str, str]) -> int:
    """A second octet that none of the networks uses."""
    used = {int(network.split(".")[1]) for network in networks.values()}
    return next(octet for octet in range(1, 256) if octet not in used)


def _offsets(settings: Settings) -> Iterator[_Row]:
    first, second = (settings.regions[site].vrack_offset for site in SITES)
    # The block that one site uses on the shared network reaches from its first host to the end of its pool.
    apart = VRACK_POOL[1] - 10
    if abs(first - second) < apart:
        yield (
            "regions.b.vrack_offset",
            str(second),
            f"{apart} or more away from dr:regions.a.vrack_offset ({first})",
            "hosts or DHCP pools of both regions would share addresses on the vRack",
            "use 0 for a and 100 for b",
        )


def _regions(settings: Settings) -> Iterator[_Row]:
    a, b = settings.regions["a"], settings.regions["b"]
    for field in ("compute_region", "storage_region"):
        value = getattr(b, field)
        if getattr(a, field) == value:
            yield (
                f"regions.b.{field}",
                repr(value),
                f"another region than dr:regions.a.{field}",
                "one failure would take both sites",
                "choose a second region for site b",
            )


def _witness(settings: Settings) -> Iterator[_Row]:
    for site in SITES:
        region: Region = settings.regions[site]
        if settings.witness.region == region.s3_region:
            yield (
                "witness.region",
                repr(settings.witness.region),
                f"a third region, not dr:regions.{site}.s3_region",
                f"when site {site} dies nobody could claim an epoch",
                "put the witness bucket in a region that holds neither site",
            )


def endpoints(settings: Settings) -> dict[str, str]:
    """Every address that is configured to be asked with a password, by its key."""
    stack = settings.openstack
    found = {
        "openstack.auth_url": stack.auth_url,
        "ovh.endpoint": settings.ovh.endpoint,
        "witness.endpoint": settings.witness.endpoint,
    }
    found |= {f"openstack.endpoint_overrides.{name}": url for name, url in (stack.endpoint_overrides or {}).items()}
    found |= {"shop.acme.directory": settings.shop.acme.directory} if settings.shop.acme else {}
    found |= {f"regions.{site}.s3_endpoint": region.s3_endpoint for site, region in settings.regions.items()}
    store = settings.monitoring.remote_write if settings.monitoring else None
    if store is not None and (store.user or settings.secrets.monitoring.remote_write_token):
        found["monitoring.remote_write.url"] = store.url
    if (
        settings.logs and settings.logs.store
    ):  # with a password or none: whose journals they are is nobody else's matter
        found["logs.store.url"] = settings.logs.store.url
    return {key: url for key, url in found.items() if url is not None}


def plain_http(url: str) -> bool:
    """Whether whoever stands between reads what is sent there. This machine's own addresses have nobody between."""
    if not url.startswith("http:"):
        return False
    host = ""
    try:
        host = urlsplit(url).hostname or ""
        return not ip_address(host).is_loopback
    except ValueError:  # a name, or no address at all
        return host != "localhost"


def _endpoints(settings: Settings) -> Iterator[_Row]:
    for key, url in endpoints(settings).items():
        if plain_http(url) and not settings.lab:
            yield (
                key,
                repr(url),
                "an https:// URL",
                "passwords, keys and what they protect would go over the network for anybody to read and change",
                "write https://, or, where this is a rehearsal and no real account, set dr:lab to true in both stack files",
            )


def _names(settings: Settings) -> Iterator[_Row]:
    public = f"{settings.dns.subdomain}.{settings.dns.zone}"
    if settings.shop.host != public:
        yield (
            "shop.host",
            repr(settings.shop.host),
            f"{public!r}, the name of dr:dns.subdomain and dr:dns.zone",
            "the record that moves would not be the shop's",
            "make the three keys agree",
        )


def _operators(settings: Settings) -> Iterator[_Row]:
    for network in settings.operator_cidrs:
        if IPv4Network(network).prefixlen < OPERATORS_PREFIX:
            yield (
                "operator_cidrs",
                repr(network),
                f"networks of /{OPERATORS_PREFIX} or smaller",
                f"the bastion's ssh would be open to {IPv4Network(network).num_addresses} addresses, most of them of people you do not know",
                "name the addresses that operators and CI come from, or those of a way through which all of them come",
            )


def _shut_out(settings: Settings) -> Iterator[_Row]:
    """Keys that are needed by more than one person."""
    revoked = {words[1] for it in settings.revoked if len(words := it.split()) > 1}
    keys = {
        "the program's own key": (settings.secrets.operator, "A person leaves"),
        "the CA's of ssh.ca": (settings.secrets.ssh_ca, "The ssh CA is renewed"),
    }
    for whose, (key, section) in keys.items():
        if key is not None and key.public is not None and key.public.split()[1] in revoked:
            yield (
                "ssh.revoked",
                f"{whose} of dr:secrets",
                "keys of persons, and certificates",
                "no run would reach a host again"
                if key is settings.secrets.operator
                else "all would be shut out at once, under a name that says one",
                f"take it out of the list; one that is lost, or known to somebody, is made anew as `{section}` in docs/failover.md says",
            )
    own = settings.secrets.operator.public
    former = [it for it in settings.secrets.operator_former if own is not None and it.split()[1] == own.split()[1]]
    if former:
        yield (
            "secrets.ssh.former",
            "the program's own key of now",
            "keys that it had before",
            "the key would be good once more, though it was taken out of use",
            "put the newest pair back into ssh.operator, or take this line out of ssh.former, in both stacks; then `drctl rotate operator` makes another one",
        )
    if settings.ssh and settings.ssh.authorities == ():
        for name in filter(ssh_keys.others, settings.revoked):
            yield (
                "ssh.revoked",
                repr(name),
                "the whole id of a certificate, like id:alice+20261129T090000Z",
                "nobody would be shut out by it, for each certificate bears its time behind the name",
                "copy the id as `drctl audit verify` shows it, or put in the person's public key, which counts for every certificate of it",
            )
    for authority in settings.authorities:
        if authority.split()[1] in revoked:
            yield (
                "ssh.revoked",
                "a key of dr:ssh.authorities",
                "keys of persons, and certificates",
                "every certificate of that CA would be refused, while the other list says that it is trusted",
                "take it out of dr:ssh.authorities instead",
            )


def _waiting(settings: Settings) -> Iterator[_Row]:
    if settings.watch is not None and settings.watch.mode == Watching.AUTOMATIC and settings.lease is None:
        yield (
            "watch.mode",
            f"{settings.watch.mode!r} with dr:lease off",
            "tell or assist, or a lease",
            "a region that is cut off would not stop by itself, and nothing but its platform could prove that it has",
            "give dr:lease its object, or leave the move to a person",
        )
    if settings.postgres.mode in (Mode.SYNC, Mode.DEGRADE) and settings.lease is None:
        yield (
            "postgres.mode",
            f"{settings.postgres.mode!r} with dr:lease off",
            "async, or a lease",
            "the agent watches the standby, and without a lease there is none: commits would wait for ever, or for nobody after a move",
            "give dr:lease its object, or leave the mode async",
        )


def _generations(settings: Settings) -> Iterator[_Row]:
    there = host_names(settings.sizes)
    for site in SITES:
        for name in sorted(set(settings.regions[site].host_generation or ()) - set(there)):
            yield (
                f"regions.{site}.host_generation",
                repr(name),
                f"one of {', '.join(there)}",
                "it numbers a server that there is not",
                "correct the name",
            )


def _archive(settings: Settings) -> Iterator[_Row]:
    if (
        settings.archive is not None
        and settings.secrets.secret_key_base is not None
        and settings.secrets.archive is None
    ):
        yield (
            "archive",
            "no passphrase for it in dr:secrets",
            "dr:secrets archive.passphrase",
            "backups hold every row of the shop and would lie readable in two buckets",
            "add {archive: {passphrase: ...}} to the object of dr:secrets in both stacks, and keep it in a third place: without it no backup can be read",
        )


def _destroy(settings: Settings) -> Iterator[_Row]:
    if settings.destroy is not None and settings.destroy.site not in (None, settings.site):
        yield (
            "destroy.site",
            repr(settings.destroy.site),
            f"{settings.site!r}, the stack's own",
            "a word for one site would take down the other",
            "name the stack's own site, or take dr:destroy out of this stack file",
        )


def _acme(settings: Settings) -> Iterator[_Row]:
    """One source of what customers see, and all that it takes."""
    acme, secrets = settings.shop.acme, settings.secrets
    if acme is None:
        return
    if secrets.shop.cert is not None and secrets.shop.ca is None:
        yield (
            "shop.acme",
            "set, beside a public certificate in dr:secrets tls.shop",
            "one of the two",
            "nobody could tell which of them customers see",
            "take dr:shop.acme out, or put back tls.shop of a set of `drctl secrets`, with its ca: it is shown until one is issued",
        )
    if secrets.acme is None and secrets.secret_key_base is not None:
        yield (
            "shop.acme",
            "set, without acme in dr:secrets",
            "keys to the OVHcloud API that may answer the challenge",
            "the CA could not be shown whose the name is",
            "make a consumer key with the rules that `drctl rights acme` prints, and add {acme: {application_key, application_secret, consumer_key}} to the "
            "object of dr:secrets in both stacks",
        )
    lacking = [user for user in LATER_USERS if user not in secrets.witness_hosts]
    if lacking and secrets.witness_hosts:
        yield (
            "shop.acme",
            f"set, and in dr:secrets witness.hosts no key of {' and '.join(lacking)}",
            "a key to the witness for each site's bastion",
            "what a bastion has ordered would reach no app host",
            "make an S3 user for each with the policy that `drctl rights witness` prints, and add their keys in both stacks (docs/security.md)",
        )
    if acme.zone is not None and acme.zone == settings.dns.zone:
        yield (
            "shop.acme.zone",
            repr(acme.zone),
            "another zone than dr:dns.zone, or none",
            "the CNAME would lead to a name that has the same key",
            "leave the key out, or name a zone of its own",
        )
