"""The product's life in the lab, with the real pulumi: up, refused, moved, killed half-way, lost with its APIs, destroyed without a trace.

One world for all of it, in the order of the tests: each starts from the state that the one before left, and says which.
"""

import json
import shutil
import subprocess
import time

import dns.resolver
import pytest

from contract.accept import spelled
from contract.access import OpenStack
from contract.errors import ExitCode
from contract.names import bucket_name
from contract.release import object_of
from lab import control
from lab.client.client import Client
from lab.client.ledger import compare, longest_gap, read
from lab.rehearsal.engine import Run
from lab.rehearsal.stacks import stack_name
from lab.rehearsal.world import PROJECT, World, running_lab, wait_for
from scripts.clients.openstack import Cloud
from scripts.ctl.commands.destroy import make_ready
from scripts.ctl.stacks.stack import Stack
from tests.lab.runbook import ON_A_WELL_PAIR, typed

pytestmark = pytest.mark.lab
# One address in DNS, which moves with the active site; the demo publishes both.
# Nothing is locked in its buckets: it ends with everything destroyed.
CHANGES = {"dns": {"mode": "single"}, "protect": False, "archive": {"lock_days": 0}}


class Life:
    """The world with what the tests ask of it over and over."""

    def __init__(self, world):
        self.world, self.pulumi, self.witness = world, world.pulumi, world.witness
        self.before = control.call(world.places, "all")
        self.repairs = 0

    def up(self, site, *, request=None):
        if request is not None:
            self.world.request(site, request)
        done = self.pulumi.up(site)
        assert done.ok, f"{done.diagnostics}\n{self.evidence(site)}"
        return done

    def evidence(self, site):
        """What the hosts of a site say about a failed run: the lab is gone when somebody reads the failure."""
        told = [
            f"{service} of {each}: {self.world.status(each, service)}"
            for each in "ab"
            for service in ("postgres", "redis", "app")
        ]
        with self.world.hosts(site) as run:
            for host, line in (
                (f"app-1.{site}", "journalctl -u shop-web -n 25 -o cat --no-pager"),
                (f"app-1.{site}", "tail -n 5 /var/log/nginx/error.log"),
            ):
                told.append(f"{host}, {line}:\n{run(host, line).stdout.decode(errors='replace')}")
        return "\n".join(told)

    def refused(self, site, request):
        """`pulumi up` must fail, and neither hosts nor witness may differ afterwards. Returns what it said."""
        before = self.state()
        self.world.request(site, request)
        done = self.pulumi.up(site)
        assert not done.ok, f"{site} asked for {request} was not refused:\n{done.output[-2000:]}"
        assert "Traceback" not in done.output
        assert self.state() == before
        return done.output

    def state(self):
        """Roles as the hosts tell them, and every epoch."""
        facts = {}
        for site in "ab":
            for service in ("postgres", "redis", "app"):
                found = self.world.status(site, service)
                facts[site, service] = {
                    name: found.get(name)
                    for name in ("running", "in_recovery", "timeline", "role", "worker", "streaming")
                }
        return facts, self.witness.newest()

    def assert_settled(self, active, epoch):
        """One writer, one follower that streams, epoch and previews as they should be."""
        standby = "b" if active == "a" else "a"
        newest = self.witness.newest()
        assert (newest.active, newest.epoch) == (active, epoch)
        assert self.world.writers() == {active}
        assert self.world.status(standby).get("streaming") is True
        assert self.world.status(active, "redis")["role"] == "master"
        assert self.world.status(standby, "redis")["role"] == "replica"
        assert (self.world.status(active, "app")["worker"], self.world.status(standby, "app")["worker"]) == (
            True,
            False,
        )
        assert {site: self.pulumi.preview_changes(site) for site in "ab"} == {"a": {}, "b": {}}
        self.assert_named(active)

    def assert_named(self, active):
        """Every authoritative server gives the active site's address, and no other, for the public name."""
        name, address = self.world.config["dr:shop"]["host"], self.witness.addresses(active)["lb"]
        for server in self.world.lab["dns"]["servers"]:
            where, _, port = server.rpartition(":")
            found = dns.resolver.Resolver(configure=False)
            found.nameservers, found.port = [where], int(port)
            assert [row.to_text() for row in found.resolve(name, "A")] == [address], server

    def kill_up(self, site, what, condition):
        """As `World.kill_up`; a run that ends by itself was not killed, and fails the test with what it said."""
        assert self.world.kill_up(site, what, condition), (
            f"pulumi up of {site} ended before {what}:\n{self.pulumi.log.read_text()[-3000:]}"
        )

    def remove_named_volumes(self):
        """What a person does after a killed bring-up: a volume that is in no state is never removed by the product, and named by it."""
        told, config = self.pulumi.log.read_text(), self.world.config["dr:openstack"]
        keys = {name: config[name] for name in ("auth_url", "user", "project_id", "domain")}
        api = Cloud(OpenStack(**keys, password=self.world.secrets["openstack_password"]), "GRA11")
        api.connect()
        for volume in self.cloud("volumes"):
            assert f"Volume shop-a-db-1-data ({volume}): exists and is in no state of this stack" in told
            api.ask("DELETE", "volumev3", f"/volumes/{volume}")
        wait_for("the volumes are gone", lambda: not self.cloud("volumes"), 30)

    def cloud(self, kind):
        """What region a's APIs hold of a kind ("ports"), by id."""
        return control.call(self.world.places, "all")["GRA11"][kind]

    def drctl(self, *words):
        """As an operator types it, with stack a's configuration: a finished process."""
        return self.pulumi.typed(
            words[0], "--stack", stack_name("a"), "--config-file", str(self.pulumi.files["a"]), *words[1:]
        )

    def move(self, *words):
        """A move by `drctl`, with both stacks."""
        folder = self.pulumi.files["a"].parent
        return self.pulumi.typed(words[0], "--config-dir", str(folder), *words[1:])

    def by_runbook(self, command):
        """As it stands there; what pulumi is told names the lab's stack file as well. A finished process, or a run."""
        both = ("--config-dir", str(self.pulumi.files["a"].parent))
        words = command.split()
        if words[0] == "drctl":
            one = {it: ("--stack", stack_name(it), "--config-file", str(self.pulumi.files[it])) for it in "ab"}
            return self.pulumi.typed(*typed(command, both=both, one=one))
        site = words[-1][-1]
        if words[1] == "up":
            return self.pulumi.up(site)
        self.repairs += 1
        words = [str(self.repairs) if word == "N" else word for word in words[1:-1]]
        return self.pulumi.call([*words, stack_name(site), "--config-file", str(self.pulumi.files[site])])

    def releases(self, *words):
        """`drctl releases`, with stack a's configuration."""
        return self.pulumi.typed(
            "releases", *words, "--stack", stack_name("a"), "--config-file", str(self.pulumi.files["a"])
        )

    def spoil_release(self, site, digest):
        """Something else stands in a region's bucket under a release's name."""
        bucket = bucket_name("shop", self.world.lab["ovh"]["service_name"], site, "releases")
        store = self.world.s3(self.world.config["dr:regions"][site]["s3_region"])
        store.put_object(Bucket=bucket, Key=object_of(digest), Body=b"something else")

    def seen(self):
        """`drctl status --json`, and the checks in it that are not good, by id."""
        done = self.drctl("status", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return found, {it["id"]: it for it in found["checks"] if it["state"] != "ok"}

    def client(self, name):
        ledger = self.world.places.run / f"{name}.jsonl"
        client = Client(
            self.world.shop_url, self.world.lab["dns"]["resolver"], self.world.ca_file, ledger, rate=20.0, connections=4
        )
        client.start()
        goal = 20
        wait_for("orders flow", lambda: client.acknowledged >= goal, 60)
        return client, ledger


@pytest.fixture(scope="module")
def life():
    with running_lab() as where:
        yield Life(World(where, CHANGES))


def test_a_standby_before_its_active_side_is_refused(life):
    output = life.refused("b", "a")
    assert "region a has not been brought up" in output


def test_a_missing_passphrase_is_one_line(life):
    kept = life.pulumi.environment.pop("PULUMI_CONFIG_PASSPHRASE")
    try:
        done = life.pulumi.up("a")
    finally:
        life.pulumi.environment["PULUMI_CONFIG_PASSPHRASE"] = kept
    assert not done.ok
    assert "PULUMI_CONFIG_PASSPHRASE" in done.output
    assert "Traceback" not in done.output
    assert control.call(life.world.places, "all") == life.before


def test_a_bring_up_that_was_killed_over_and_over_is_finished_by_the_next_up(life):
    """The condition holds from what the platform has; what the engine had recorded by then is up to chance, and must not matter."""
    counted = {kind: len(life.before["GRA11"][kind]) for kind in ("networks", "ports", "servers", "load_balancers")}
    for kind, more in (("networks", 1), ("ports", 2), ("servers", 1), ("servers", 5), ("load_balancers", 1)):
        life.kill_up(
            "a", f"{more} new {kind}", lambda kind=kind, more=more: len(life.cloud(kind)) >= counted[kind] + more
        )
    life.kill_up(
        "a",
        "the data volume is attached",
        lambda: any(volume["status"] == "in-use" for volume in life.cloud("volumes").values()),
    )
    done = life.up("a")
    assert done.ok
    assert life.world.writers() == {"a"}


def test_both_regions_come_up_and_a_second_run_changes_nothing(life):
    life.up("a")
    life.up("b")
    life.assert_settled("a", 1)
    again = life.up("a")
    assert "created" not in again.output
    assert "updated" not in again.output


def test_a_release_by_its_digest_comes_to_hosts_from_their_region_or_else_from_the_other(life):
    """One copy is spoiled: hosts of that region take the other's, and nothing else than what was built ever runs."""
    folder = life.world.places.run / "newer"
    shutil.copytree(PROJECT / "examples/shop", folder)
    (folder / "db" / "NEWER").write_text("a file more\n")
    artefact = life.world.places.run / "newer.tar.gz"
    built = life.pulumi.typed("build", str(folder), "--out", str(artefact), "--json")
    assert built.returncode == ExitCode.DONE, built.stderr
    digest = json.loads(built.stdout)["digest"]
    pushed = life.releases("push", str(artefact))
    assert pushed.returncode == ExitCode.DONE and "lies in both regions" in pushed.stdout, pushed.stderr
    life.spoil_release("a", digest)
    spoiled = life.releases("verify")
    assert spoiled.returncode == ExitCode.FAILED and "a SPOILED, b well" in spoiled.stderr
    for site in "ab":
        life.world.configure(site, "shop", {**life.world.config["dr:shop"], "release": digest})
    for site in "ab":
        life.up(site)
        with life.world.hosts(site) as run:
            for host in (f"app-1.{site}", f"app-2.{site}"):
                told = run(host, "readlink /opt/shop/current; cat /opt/shop/current/db/NEWER").stdout.decode()
                assert told == f"/opt/shop/releases/{digest}\na file more\n", host
    life.assert_settled("a", 1)
    assert life.releases("verify", "--repair").returncode == ExitCode.DONE
    wanted, end = "a there, b there configured runs on app-1.a, app-2.a, app-1.b, app-2.b", time.monotonic() + 60
    while True:  # hosts that are busy do not answer within a survey's time
        listed = life.releases("list")
        row = next(line for line in listed.stdout.splitlines() if line.startswith(digest[:12]))
        if row.endswith(wanted) or time.monotonic() > end:
            break
    assert row.endswith(wanted), f"{row}\n{listed.stderr}"


@pytest.mark.parametrize(
    ("site", "request_", "sentence"),
    [("a", "b", "region b has not taken over"), ("a", "c", "failover_region"), ("b", "c", "failover_region")],
)
def test_each_refusal_says_so_and_changes_nothing(life, site, request_, sentence):
    assert sentence in life.refused(site, request_)
    life.world.request(site, "a")


def test_a_planned_move_loses_no_order(life):
    client, ledger = life.client("planned")
    life.up("b", request="b")
    goal = client.acknowledged + 20
    wait_for("orders after the move", lambda: client.acknowledged >= goal, 60)
    client.stop()
    found = compare(read(ledger), life.world.rows("b"))
    assert (found.lost, found.duplicated) == ([], [])
    assert found.acknowledged >= 40
    print(f"longest gap between acknowledged orders: {longest_gap(read(ledger)):.2f} s")


def test_a_forgotten_stack_file_is_refused_until_it_follows(life):
    assert "the config is stale, follow first" in life.refused("a", "a")
    life.up("a", request="b")
    life.assert_settled("b", 2)


def test_the_operator_sees_both_regions_and_nothing_amiss(life):
    """But that the witness of this lab is not locked, so that all of it can go in the end, that this machine's resolver is not the lab's, and that
    nothing was moved or rehearsed by drctl yet.
    """
    besides, end = (
        {"witness.lock", "dns.resolver", "dns.delegation", "drill.age", "certs.rehearsed"},
        time.monotonic() + 180,
    )
    while True:
        found, wrong = life.seen()
        if set(wrong) <= besides or time.monotonic() > end:
            break
        time.sleep(5)
    assert {name: it["found"] for name, it in wrong.items() if name not in besides} == {}
    assert found["newest"]["value"]["active"] == "b" and found["newest"]["value"]["epoch"] == 2
    hosts = {f"{name}.{site}": it for site in "ab" for name, it in found["regions"][site]["hosts"].items()}
    assert len(hosts) == 10 and all(it["why"] == "" for it in hosts.values())
    checked = life.drctl("check")
    assert checked.returncode == ExitCode.REFUSED
    assert checked.stdout.rstrip().endswith("nothing blocks a planned move")


def test_the_operator_reaches_each_host_by_its_name(life):
    assert life.drctl("ssh", "app-2.a", "--", "cat", "/etc/hostname").stdout.strip()
    assert life.drctl("ssh", "db-1.b", "--", "sh", "-c", "exit 7").returncode == 7
    assert life.drctl("psql", "db-1.b", "--", "-At", "-c", "select pg_is_in_recovery()").stdout.strip() == "f"
    told = life.drctl("redis", "cache-1.a", "--", "info", "replication")
    assert "role:slave" in told.stdout, told.stderr
    assert "dr-agent" in life.drctl("logs", "db-1.a", "dr-agent", "--since", "2h").stdout
    told = life.drctl("ssh", "db-9.a")
    assert told.returncode == ExitCode.USAGE and told.stderr.count("\n") == 1


def test_a_host_of_the_standby_begins_anew_and_the_active_regions_do_not(life):
    told = life.drctl("reboot", "b", "--host", "app-2", "--yes")
    assert told.returncode == ExitCode.REFUSED and "region b is the active one" in told.stderr
    boot = ("ssh", "app-2.a", "--", "cat", "/proc/sys/kernel/random/boot_id")
    before = life.drctl(*boot).stdout
    told = life.drctl("reboot", "a", "--host", "app-2", "--yes", "--reason", "rehearsed")
    assert told.returncode == ExitCode.DONE, told.stderr
    assert life.drctl(*boot).stdout not in ("", before)


def test_a_take_over_that_was_killed_is_finished_by_the_next_up(life):
    life.world.request("a", "a")
    life.kill_up("a", "region a owns epoch 3", lambda: life.witness.newest().epoch == 3)
    life.up("a")
    life.up("b", request="a")
    life.assert_settled("a", 3)


def test_a_region_that_is_lost_with_its_apis_needs_the_operators_word(life):
    life.world.fault("region", "kill", "a")
    found, wrong = life.seen()
    assert all(it["value"] is None and it["why"] for it in found["regions"]["a"]["hosts"].values())
    assert {wrong[name]["state"] for name in ("pg.role", "host.answers", "servers.on")} == {"unknown"}
    life.world.request("b", "b")
    life.lease = life.world.configure("b", "lease", "off")
    refused = life.pulumi.up("b")
    assert not refused.ok
    assert "differs in dr:lease" in refused.output and "accept.configuration" in refused.output
    known = {"configuration": {"epoch": 3, "at": spelled(), "reason": "the lease is off here on purpose"}}
    life.world.configure("b", "accept", known)
    refused = life.pulumi.up("b")
    assert not refused.ok
    assert "rung 2 (OpenStack stop)" in refused.output
    assert "rung 3 (lease): is off" in refused.output
    assert "accept.without_fence" in refused.output
    assert life.witness.newest().epoch == 3
    assert life.world.status("b")["in_recovery"] is True
    reason = "the data centre burned, confirmed by telephone"
    life.world.configure("b", "accept", {**known, "without_fence": {"epoch": 3, "at": spelled(), "reason": reason}})
    done = life.move("failover", "b", "--yes")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert "region a to region b, epoch 3 to 4" in done.stdout
    newest = life.witness.newest()
    assert (newest.epoch, newest.active, newest.fence["rung"]) == (4, "b", 4)
    assert newest.fence["evidence"]["override"] == reason
    assert life.world.writers() == {"b"}


def test_a_region_that_comes_back_by_itself_writes_nothing_and_follows(life):
    life.world.fault("region", "return", "a")
    wait_for("region a's database host answers", lambda: bool(life.world.status("a")), 90, 1.0)
    assert life.world.writers() == {"b"}
    done = life.move("rejoin", "a")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    life.world.configure("b", "accept", None)
    life.world.configure("b", "lease", life.lease)
    life.up("b")
    life.assert_settled("b", 4)


@pytest.mark.parametrize("command", ON_A_WELL_PAIR)
def test_every_command_of_the_runbook_that_fits_a_well_pair(life, command):
    """Region a has just come home."""
    if life.witness.newest().active == "b" and command == next(iter(ON_A_WELL_PAIR)):
        home = life.move("failback", "a", "--yes")
        assert home.returncode == ExitCode.DONE, home.stdout + home.stderr
    done = life.by_runbook(command)
    code, told = (done.code, done.output) if isinstance(done, Run) else (done.returncode, done.stdout + done.stderr)
    assert code in ON_A_WELL_PAIR[command], told[-3000:]
    assert "Traceback" not in told


def test_a_switchover_whose_drctl_was_killed_is_gone_on_with(life):
    epoch = life.witness.newest().epoch
    killed = subprocess.Popen(
        ["scripts/drctl", "switchover", "--config-dir", str(life.pulumi.files["a"].parent), "--yes", "b"],
        cwd=life.pulumi.project, env=life.pulumi.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for("region b owns the next epoch", lambda: life.witness.newest().epoch > epoch, 60, 0.05)
    killed.kill()
    killed.wait(10)
    end = time.monotonic() + 120
    while (done := life.move("switchover", "--resume", "b")).returncode != ExitCode.DONE and time.monotonic() < end:
        assert "is locked by" in done.stderr or "lease" in done.stderr, (
            done.stderr
        )  # pulumi's own run goes on without it
        time.sleep(1)
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    life.assert_settled("b", epoch + 1)


def test_the_active_region_is_not_destroyed_and_sells_on(life):
    before = life.state()
    refused = life.pulumi.destroy("b")
    assert not refused.ok
    epoch = life.witness.newest().epoch
    assert f"destroy of region b: it is active (epoch {epoch})" in refused.output
    assert life.state() == before
    life.up("b")  # links of the chain have left the state, and run again
    life.assert_settled("b", epoch)


def test_destroy_leaves_the_cloud_as_it_was(life, monkeypatch):
    """The standby first; the active one by a word of this hour, and once no customer is sent there."""
    epoch = life.witness.newest().epoch
    life.world.configure(
        "b", "destroy", {"site": "b", "epoch": epoch, "at": spelled(), "reason": "the rehearsal is over"}
    )
    life.up("b")
    still = life.pulumi.destroy("b")
    assert not still.ok and "still leads to" in still.output
    for name, value in life.pulumi.environment.items():
        monkeypatch.setenv(name, value)
    for site in "ab":
        program = life.pulumi.environment.get("DRLAB_PULUMI", "pulumi")
        stack = Stack(name=stack_name(site), folder=life.pulumi.project, file=life.pulumi.files[site], program=program)
        assert make_ready(stack, site) == ExitCode.DONE
        done = life.pulumi.destroy(site)
        assert done.ok, done.output[-3000:]
    life.remove_named_volumes()
    assert control.call(life.world.places, "all") == life.before
