"""What every drill stands on: both regions up and settled, customers who order, eyes on both databases, and the way back to a settled pair.

A drill changes one thing, moves or does not move, and says what it expects. Whatever it does, `Stage.settle` brings the pair back to one
writer, one follower that streams and empty previews; a pair that cannot be brought back by `pulumi up` alone is the drill's failure.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract import hosts
from contract.epoch import Epoch
from contract.hosts import Sizes
from contract.sites import other
from lab.client.client import Client
from lab.client.goods import Goods
from lab.client.ledger import Event, compare, first_ack_after, kept_uploads, longest_gap, read
from lab.machines import clock
from lab.rehearsal.engine import Run
from lab.rehearsal.leaks import scan
from lab.rehearsal.leaks.needles import Needles
from lab.rehearsal.world import World, wait_for
from lab.rehearsal.writers import overlaps, spans
from scripts.clients.witness import Witness

SAMPLES = "/var/tmp/lab-writers.jsonl"  # noqa: S108 - on a host of the lab
CACHE_SETTINGS = "/opt/lab/cache.json"
DATABASE_HOST, CACHE_HOST = "db-1", "cache-1"  # whose servers are watched
# Its clock is the lab's, also on a host whose own is off: both sides' samples are compared.
SAMPLER_UNIT = """[Unit]
Description=Does this server take writes? (lab)
[Service]
User={user}
ExecStart=/usr/bin/python3 /opt/lab/sampler.py {arguments}
InaccessiblePaths=-/{here}
Restart=always
RestartSec=1
StartLimitIntervalSec=0
[Install]
WantedBy=multi-user.target
"""
ORDERS, ORDERS_S = 20, 60
CAUGHT_UP = 2**20  # bytes of WAL: a quarter of what a planned move bears
FILES_S = 150  # two looks of the copier at the region that was left, and what it then brings


@dataclass
class Record:
    """What a drill found, as it is kept: one JSON object."""

    name: str
    began: float = field(default_factory=time.time)
    figures: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    isolates: bool = False  # the drill cuts a primary off: then its lease may stop it

    def expect(self, holds: bool, fault: str) -> None:
        """Note a fault unless `holds`; the drill goes on."""
        if not holds:
            self.faults.append(fault)

    def document(self) -> dict[str, Any]:
        return {"drill": self.name, "passed": not self.faults, "faults": self.faults, "figures": self.figures}


class Shop:
    """Customers at work, and what they were promised."""

    def __init__(self, client: Client, ledger: Path) -> None:
        self.client, self._ledger = client, ledger

    def flow(self, what: str = "orders flow", limit_s: float = ORDERS_S) -> None:
        """Wait for some more acknowledged orders."""
        goal = self.client.acknowledged + ORDERS
        wait_for(what, lambda: self.client.acknowledged >= goal, limit_s)

    def events(self) -> list[dict[str, Any]]:
        return read(self._ledger)

    def gap(self, since: float) -> float:
        """Longest time without an acknowledged order from `since` (monotonic) to now."""
        return round(longest_gap(self.events(), since, time.monotonic()), 2)

    def first_after(self, mono: float) -> float | None:
        """Seconds from `mono` to the first order acknowledged after it."""
        first = first_ack_after(self.events(), mono)
        return None if first is None else round(first - mono, 2)

    def failures(self, since: float) -> int:
        """Attempts from `since` (monotonic) that customers saw fail."""
        return sum(event["event"] == "fail" and event["mono"] >= since for event in self.events())


class Stage:
    """One pair of regions for many drills."""

    def __init__(self, world: World) -> None:
        self.world, self.pulumi = world, world.pulumi
        self._ledgers = 0
        self.aside: list[Event] = []  # carts and files of the last customers
        self._overwritten: set[str] = set()  # epochs that an earlier drill has told of
        self._repairs = 0

    def bring_up(self) -> None:
        """Both regions from nothing, the samplers on both databases and both caches."""
        for site in "ab":
            self.must(self.pulumi.up(site), site)
        for site in "ab":
            self.install_samplers(site)
        self.settle()

    @property
    def leased(self) -> tuple[str, ...]:
        """Names of the hosts of a site whose agents keep a lease, as both are configured now."""
        return hosts.leased(Sizes(cache_replicas=self.world.whole(self.active)["dr:redis"].get("cache_replicas", 0)))

    def shows_nothing(self, record: Record) -> None:
        """No secret stands where nobody should see it: not in what the drill has left anywhere, nor in its own record."""
        began, secrets = time.monotonic(), scan.known(self.world.places, self.world.secrets, self.pulumi.passphrase)
        found = [leak.line() for leak in scan.leaks(self.world.places, secrets)]
        with Needles(secrets) as needles:
            found += [
                f"the drill's record: {name}" for name in sorted(needles.within(json.dumps(record.document()).encode()))
            ]
        record.figures["secrets"] = {
            "known": len(secrets),
            "shown": len(found),
            "searched_s": round(time.monotonic() - began, 1),
        }
        record.expect(not found, f"secrets are shown: {found}")

    def heard(self, record: Record) -> None:
        """Nobody's agent has stopped a service since the drill began, unless the drill cut it off."""
        stops = [
            line for site in "ab" for host in self.leased for line in self._lease_stops(f"{host}.{site}", record.began)
        ]
        record.expect(record.isolates or not stops, f"agents stopped services that were heard: {stops}")

    # --- who is who

    @property
    def witness(self) -> Witness:
        return self.world.witness

    def epoch(self) -> Epoch:
        newest = self.witness.newest()
        assert newest is not None
        return newest

    @property
    def active(self) -> str:
        return self.epoch().active

    @property
    def standby(self) -> str:
        return other(self.active)

    # --- what people do

    def ask(self, site: str) -> None:
        """`pulumi config set failover_region SITE` on the stack that shall become active."""
        self.world.request(site, site)

    def take_over(self, site: str) -> Run:
        """Ask for `site` and bring its stack up, whatever comes of it."""
        self.ask(site)
        return self.pulumi.up(site)

    def follow(self) -> Run:
        """The other side's run after a move. Raises RuntimeError when it fails."""
        site, active = self.standby, self.active
        self.world.request(site, active)
        return self.must(self.pulumi.up(site), site)

    def must(self, done: Run, site: str) -> Run:
        if not done.ok:
            raise RuntimeError(f"pulumi up -s region-{site} ended with {done.code}:\n{done.diagnostics}")
        return done

    @contextlib.contextmanager
    def shopping(self, record: Record, *, rate: float = 20.0, connections: int = 4) -> Iterator[Shop]:
        """Customers until the end of the block; then every promise is compared with the database of the site that is active by then.

        `rate`: orders a second, of all of them together; `connections`: how many customers, each with one that is kept.
        """
        self._ledgers += 1
        ledger = self.world.places.run / f"drill-{self._ledgers}.jsonl"
        client = Client(
            self.world.shop_url,
            self.world.lab["dns"]["resolver"],
            self.world.ca_file,
            ledger,
            rate=rate,
            connections=connections,
        )
        aside = ledger.with_name(f"drill-{self._ledgers}-aside.jsonl")
        goods = Goods(self.world.shop_url, self.world.lab["dns"]["resolver"], self.world.ca_file, aside)
        client.start()
        goods.start()
        shop = Shop(client, ledger)
        try:
            shop.flow()
            yield shop
        finally:
            client.stop()
            goods.stop()
        self.aside = read(aside)
        record.figures |= self.world.kept(self.active, self.aside)
        found = compare(shop.events(), self.world.rows(self.active))
        record.figures["orders"] = {
            "acknowledged": found.acknowledged,
            "lost": len(found.lost),
            "duplicated": len(found.duplicated),
        }
        record.expect(not found.duplicated, f"{len(found.duplicated)} orders stand twice in the database")

    def files_arrive(self, record: Record) -> None:
        """After a planned move no customer's file may stay behind: what the region that was left has taken is brought over, minute by minute."""
        record.figures["files_whole_s"] = round(
            wait_for(
                f"region {self.active} has every file that customers were told is kept",
                lambda: not kept_uploads(self.aside, self.world.uploads(self.active)).lost,
                FILES_S,
                1.0,
            ),
            1,
        )
        record.figures |= self.world.kept(self.active, self.aside)

    def fault(self, *words: str) -> None:
        """`lab fault ...`."""
        self.world.fault(*words)

    def line(self, host: str, text: str, stdin: str = "") -> str:
        """Run a command on a host ("db-1.a") through its own bastion. Raises RuntimeError when it fails."""
        site = host.rsplit(".", 1)[1]
        with self.world.hosts(site) as run:
            done = run(host, text, stdin.encode())
        if done.returncode:
            raise RuntimeError(
                f"{host}: {text[:80]}: exit code {done.returncode}: {done.stderr.decode(errors='replace').strip()[-500:]}"
            )
        return done.stdout.decode(errors="replace")

    def sql(self, site: str, statement: str) -> str:
        """As the superuser of a site's database."""
        return self.line(
            f"db-1.{site}", "runuser -u postgres -- psql -X -At -v ON_ERROR_STOP=1 -d shop", statement
        ).strip()

    # --- the way back

    def settle(self, record: Record | None = None) -> None:
        """No fault in force, the newest epoch's site writes, the other follows and streams, both previews are empty."""
        self.world.fault("return-all")
        active, standby = self.active, self.standby
        for site in "ab":
            self.world.request(site, active)
        wait_for(f"region {active} answers", lambda: bool(self.world.status(active)), 120, 1.0)
        self.must(self.pulumi.up(standby), standby)
        if (
            self.world.status(active).get("in_recovery") is not False
            or self.world.status(active, "app").get("worker") is not True
        ):
            self.must(self.pulumi.up(active), active)
        wait_for(f"region {standby} streams", lambda: self.world.status(standby).get("streaming") is True, 60, 0.5)
        # One that has just been copied is behind at first, and no move away from the active one would be let through.
        wait_for(f"region {standby} has caught up", lambda: self._behind(active) < CAUGHT_UP, 60, 0.5)
        if record is not None:
            self._assert_settled(record, active, standby)

    def _behind(self, active: str) -> float:
        """Bytes of WAL that the standby lacks; without end where nobody knows."""
        found = self.world.status(active).get("lag_bytes")
        return float(found) if isinstance(found, int) else float("inf")

    def repair(self) -> dict[str, Run]:
        """`dr:repair` raised on both stacks, the standby first: every host is asked again, whatever pulumi believes."""
        self._repairs += 1
        done = {}
        for site in (self.standby, self.active):
            self.world.configure(site, "repair", self._repairs)
            done[site] = self.pulumi.up(site)
        return done

    def _assert_settled(self, record: Record, active: str, standby: str) -> None:
        writers = self.world.writers()
        record.expect(writers == {active}, f"writers at the end: {sorted(writers)}, wanted {active} alone")
        roles = {site: self.world.status(site, "redis").get("role") for site in "ab"}
        record.expect(roles == {active: "master", standby: "replica"}, f"cache roles at the end: {roles}")
        workers = {site: self.world.status(site, "app").get("worker") for site in "ab"}
        record.expect(workers == {active: True, standby: False}, f"workers at the end: {workers}")
        previews = {site: self.pulumi.preview_changes(site) for site in "ab"}
        record.expect(not any(previews.values()), f"previews at the end are not empty: {previews}")
        twice = {key for key, times in self.claims().items() if times != 1} - self._overwritten
        self._overwritten |= twice
        record.expect(not twice, f"claimed more than once: {sorted(twice)}")
        self.heard(record)
        for host, what in ((DATABASE_HOST, "writers"), (CACHE_HOST, "masters of the cache")):
            both = overlaps(*(spans(self.samples(site, record.began, host)) for site in "ab"))
            when = [(round(begin - record.began, 1), round(end - record.began, 1)) for begin, end in both]
            record.expect(not both, f"two {what} at once, in seconds after the drill began: {when}")

    def _lease_stops(self, host: str, since: float) -> list[str]:
        """What the host's agent says of services that nobody had heard, from `since` (wall clock) on."""
        command = (
            f"sh -c 'journalctl -u dr-agent --since=@{since:.0f} -o cat --no-pager | grep \"nobody heard for\" || true'"
        )
        return [f"{host}: {line}" for line in self.line(host, command).splitlines()]

    def claims(self) -> dict[str, int]:
        """How often each epoch was written at the witness: once, or the witness is no witness. The bucket keeps every version."""
        found = self.witness.versions("epochs/")
        return {key: found.count(key) for key in sorted(set(found))}

    def samples(self, site: str, since: float = 0.0, host: str = DATABASE_HOST) -> list[dict[str, Any]]:
        """Of a site's database, or of its first cache, from `since` (wall clock) on."""
        rows = [
            json.loads(line)
            for line in self.line(f"{host}.{site}", f"tail -n 20000 {SAMPLES}").splitlines()
            if line.endswith("}")
        ]
        return [row for row in rows if row["t"] >= since]

    def install_samplers(self, site: str) -> None:
        self._install_sampler(f"{DATABASE_HOST}.{site}", "postgres", SAMPLES)
        settings = json.dumps(self.world.cache(site, CACHE_HOST))
        self._install_sampler(f"{CACHE_HOST}.{site}", "redis", f"{SAMPLES} {CACHE_SETTINGS}", settings)

    def _install_sampler(self, host: str, user: str, arguments: str, settings: str = "") -> None:
        source = Path(__file__).with_name("sampler.py").read_text()
        unit = SAMPLER_UNIT.format(user=user, arguments=arguments, here=clock.HERE)
        self.line(host, "mkdir -p /opt/lab")
        self.line(host, "tee /opt/lab/sampler.py", source)
        if settings:
            # Only for whom it is: it holds the shop's password.
            self.line(
                host, f"sh -c 'install -o {user} -m 600 /dev/null {CACHE_SETTINGS}; cat > {CACHE_SETTINGS}'", settings
            )
        self.line(host, "tee /etc/systemd/system/lab-sampler.service", unit)
        self.line(
            host,
            f"sh -c 'install -o {user} -m 600 /dev/null {SAMPLES}; systemctl daemon-reload; systemctl enable -q --now lab-sampler'",
        )
