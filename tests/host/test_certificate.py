"""The shop's certificate: what may be shown, who opens what is handed over, how often a CA is asked, and what an order that failed is called. No CA, no host:
tests/host/servers/test_certificate.py has both.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contract.errors import Failed, Usage
from contract.services.certificate import Pair, Terms
from scripts.ctl.stacks.secrets import certificates
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.witness import Active, Glance, Silent
from scripts.host.host.certificate import memory, take
from scripts.host.host.certificate.install import KEY_FILE, TIMER, UNIT
from scripts.host.host.certificate.job import CAS, FILE, KEYS, Job, objects
from scripts.host.host.certificate.lego import NoCertificate, told
from scripts.host.host.certificate.memory import FIRST_S, LIMITED_S, LONGEST_S, MOST_S, Memory
from scripts.host.host.certificate.order import Ordering
from scripts.host.host.certificate.sealed import Closed, Own, opened, seal
from scripts.host.host.certificate.shown import Unfit, fit
from scripts.host.host.certificate.take import Taking
from scripts.host.host.service import Base, Desired
from tests.host.frame.test_frame import HOST, SETUP
from tests.host.test_hardening import Units

SHOP, DAY = "www.shop.example", 86_400.0
NAMES = ("control-1.a", "control-1.b", "app-1.a", "app-1.b", "db-1.a")


@pytest.fixture(scope="module")
def secrets() -> dict[str, Any]:
    return certificates({name: [f"{name}.dr.internal"] for name in NAMES}, SHOP)


class Ca:
    """Issues for the shop, from and to any day."""

    def __init__(self, name: str = "a CA of the test") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._made = self._signed(self._name, self._key, (-100, 1000), x509.BasicConstraints(ca=True, path_length=0))
        self.pem = self._made.public_bytes(serialization.Encoding.PEM).decode()

    def pair(self, name: str = SHOP, days: tuple[float, float] = (-1, 89)) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._signed(subject, key, days, x509.SubjectAlternativeName([x509.DNSName(name)]))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return Pair(shop=name, cert=made.public_bytes(serialization.Encoding.PEM).decode(), key=private.decode())

    def _signed(self, subject: x509.Name, key: Any, days: tuple[float, float], extension: Any) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        begins, ends = (now + datetime.timedelta(days=it) for it in days)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
        return builder.add_extension(extension, critical=False).sign(self._key, hashes.SHA256())


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca()


# --- what may be shown


def test_one_that_a_customer_would_take_is_fit(ca: Ca) -> None:
    found = fit(ca.pair(), SHOP, ca.pem)
    assert found.ends - found.begins == 90 * DAY and len(found.digest) == 64
    assert not found.due(found.ends - 30.1 * DAY) and found.due(found.ends - 29.9 * DAY), "a third of its life is left"


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        (lambda ca: ca.pair("www.other.example"), "Hostname mismatch"),
        (lambda ca: ca.pair(days=(-90, -1)), "expired"),
        (lambda ca: ca.pair(days=(1, 91)), "not yet valid"),
        (lambda ca: replace(ca.pair(), key=ca.pair().key), "do not belong together"),
        (
            lambda ca: replace(ca.pair(), cert="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "cannot be read",
        ),
        (lambda ca: Ca("another").pair(), "unable to get local issuer"),
    ],
)
def test_one_that_a_customer_would_be_warned_of_is_not(ca: Ca, spoiled: Callable[[Ca], Pair], why: str) -> None:
    with pytest.raises(Unfit, match=why):
        fit(spoiled(ca), SHOP, ca.pem)


def test_one_of_a_ca_that_this_machine_does_not_know_is_not(ca: Ca) -> None:
    with pytest.raises(Unfit, match="unable to get local issuer"):
        fit(ca.pair(), SHOP, None)


# --- what is handed over


def own(root: Path, secrets: Mapping[str, Any], host: str) -> Own:
    folder = root / host / "etc/dr"
    folder.mkdir(parents=True, exist_ok=True)
    pair = secrets["hosts"][host]
    for name, text in (("host.crt", pair["cert"]), ("host.key", pair["key"]), ("ca.pem", secrets["ca"])):
        (folder / name).write_text(text)
    return Own(folder / "host.crt", folder / "host.key", folder / "ca.pem")


def recipients(secrets: Mapping[str, Any]) -> dict[str, str]:
    return {name: secrets["hosts"][name]["cert"] for name in NAMES if not name.startswith("db")}


SIGNER = "control-1.a.dr.internal"


def test_app_hosts_and_bastions_open_it_and_nobody_else(tmp_path: Path, secrets: dict[str, Any], ca: Ca) -> None:
    pair = ca.pair()
    sealed = seal(pair, own(tmp_path, secrets, "control-1.a"), recipients(secrets))
    for line in (*pair.key.splitlines()[1:-1], *pair.cert.splitlines()[1:-1]):
        assert line.encode() not in sealed
    for name in recipients(secrets):
        assert opened(sealed, own(tmp_path, secrets, name), SIGNER) == pair
    with pytest.raises(Closed, match="cannot be opened with this host's key"):
        opened(sealed, own(tmp_path, secrets, "db-1.a"), SIGNER)


def test_what_another_host_has_sealed_is_not_believed(tmp_path: Path, secrets: dict[str, Any], ca: Ca) -> None:
    """Whoever may put there and owns a database's key is no bastion; nor is site b's one that of site a."""
    for liar in ("db-1.a", "control-1.b"):
        sealed = seal(ca.pair(), own(tmp_path, secrets, liar), recipients(secrets))
        with pytest.raises(Closed, match=f"signed by another than {SIGNER}"):
            opened(sealed, own(tmp_path, secrets, "app-1.a"), SIGNER)


def test_what_a_stranger_has_sealed_is_not_believed(tmp_path: Path, secrets: dict[str, Any], ca: Ca) -> None:
    others = certificates({name: [f"{name}.dr.internal"] for name in NAMES}, SHOP)
    sealed = seal(ca.pair(), own(tmp_path / "others", others, "control-1.a"), recipients(secrets))
    with pytest.raises(Closed, match="no host of the pair has signed it"):
        opened(sealed, own(tmp_path, secrets, "app-1.a"), SIGNER)


def test_while_certificates_of_hosts_are_rotated_it_is_opened_by_the_key_of_before_and_by_the_next(
    tmp_path: Path, secrets: dict[str, Any], ca: Ca
) -> None:
    following, pair = certificates({name: [f"{name}.dr.internal"] for name in NAMES}, SHOP), ca.pair()
    both = {name: it + recipients(following)[name] for name, it in recipients(secrets).items()}
    sealed = seal(pair, own(tmp_path, secrets, "control-1.a"), both)
    trusted = secrets["ca"] + following["ca"]
    for number, shown in enumerate((secrets, following)):
        for name in both:
            assert opened(sealed, own(tmp_path / str(number), {**shown, "ca": trusted}, name), SIGNER) == pair
    with pytest.raises(Closed, match="be trusted"):
        opened(sealed, own(tmp_path / "ended", following, "app-1.a"), SIGNER)


def test_a_rotation_of_hosts_certificates_costs_no_order_and_none_is_shut_out(world: World) -> None:
    old = world.secrets
    new = certificates({name: [f"{name}.dr.internal"] for name in NAMES}, SHOP)
    both = old["ca"] + new["ca"]
    world.order("a")
    for used, beside in (({**old, "ca": both}, new), ({**new, "ca": both}, old), (new, {})):
        world.secrets, world.beside = used, recipients(beside) if beside else {}
        assert world.order("a").state == "handed over"
        for host in ("app-1.a", "app-1.b"):
            assert world.take(host)["error"] is None
    assert world.orders == ["a"], "a CA counts how often it is asked"


def test_what_was_changed_on_its_way_is_not_opened(tmp_path: Path, secrets: dict[str, Any], ca: Ca) -> None:
    sealed = seal(ca.pair(), own(tmp_path, secrets, "control-1.a"), recipients(secrets)).decode()
    here = own(tmp_path, secrets, "app-1.a")
    at = sealed.rindex("\\n", 0, sealed.rindex("-----END") - 80) - 3  # in what is encrypted, not in its form
    changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
    for body in (changed, "{}", "", "[]", '{"schema":1,"sealed":"x"}', sealed.replace('"schema": 1', '"schema": 2')):
        with pytest.raises(Closed):
            opened(body.encode(), here, SIGNER)
    with pytest.raises(Closed, match="300000 at most"):
        opened(b" " * 300_001, here, SIGNER)


# --- how often a CA is asked

NOW = 1_800_000_000.0


def test_each_failure_doubles_the_pause_up_to_a_day() -> None:
    it, pauses = Memory(), []
    for _ in range(9):
        it = it.begun(NOW).failed(NOW, "x", None)
        pauses.append(it.waits_s(NOW))
    assert pauses == [
        FIRST_S,
        2 * FIRST_S,
        4 * FIRST_S,
        8 * FIRST_S,
        16 * FIRST_S,
        32 * FIRST_S,
        64 * FIRST_S,
        *[LONGEST_S] * 2,
    ]


def test_no_hour_sees_more_failed_tries_than_lets_encrypt_takes() -> None:
    it, now, tries = Memory(), NOW, 0
    while now < NOW + 3600:
        if it.waits_s(now) == 0:
            it, tries = it.begun(now).failed(now, "x", None), tries + 1
        now += 60
    assert tries <= 5


def test_a_try_that_was_killed_counts_after_a_reboot(tmp_path: Path) -> None:
    memory.save(tmp_path, Memory().begun(NOW))
    again = memory.load(tmp_path)
    assert again.waits_s(NOW + 1) == FIRST_S - 1 and again.error == "the try was cut off in its middle"


def test_a_memory_that_cannot_be_read_is_no_leave_to_ask_at_will(tmp_path: Path) -> None:
    (tmp_path / memory.FILE).write_text("{broken")
    assert memory.load(tmp_path).begun(NOW).waits_s(NOW) == 2 * FIRST_S


def test_a_ca_that_wants_to_be_left_alone_is_so_but_not_for_ever() -> None:
    assert Memory().begun(NOW).failed(NOW, "x", 3 * DAY).waits_s(NOW) == 3 * DAY
    assert Memory().begun(NOW).failed(NOW, "x", 1000 * DAY).waits_s(NOW) == MOST_S
    assert Memory().begun(NOW).failed(NOW, "x", 0.0).waits_s(NOW) == FIRST_S


def test_a_clock_that_went_back_does_not_hold_it_up_for_years() -> None:
    it = Memory().begun(NOW + 1000 * DAY)
    assert it.waits_s(NOW) == 0


def test_a_week_sees_four_certificates_at_most() -> None:
    it = Memory()
    for number in range(4):
        it = it.begun(NOW + number * DAY).got(NOW + number * DAY)
    assert it.waits_s(NOW + 4 * DAY) == 3 * DAY
    assert it.waits_s(NOW + 7 * DAY) == 0


# --- what an order that failed is called

_URL = "https://acme.example/new-order"


@pytest.mark.parametrize(
    ("code", "said", "found", "limited"),
    [
        (
            1,
            f"acme: error: 429 :: POST :: {_URL} :: urn:ietf:params:acme:error:rateLimited :: too many certificates (5) already issued for this exact set of "
            "domains in the last 168h0m0s: www.shop.example, retry after 2027-01-15 12:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/",
            "the CA was asked too often (too many certificates (5)",
            1_800_014_400 - NOW,
        ),
        (1, f"acme: error: 429 :: POST :: {_URL} :: urn:ietf:params:acme:error:rateLimited :: slow down", "too often (slow down)", LIMITED_S),
        (1, "get directory at 'x': HTTP 429 Too Many Requests", "too often", LIMITED_S),
        (1, f"error: 429 :: POST :: {_URL} :: urn:ietf:params:acme:error:rateLimited :: retry after 9999-99-99 12:00:00", "too often", LIMITED_S),
        (1, f"acme: error: 403 :: POST :: {_URL} :: urn:ietf:params:acme:error:caa :: CAA record prevents issuance", "the CA refuses: caa (CAA record", None),
        (
            1,
            f"[INFO] error: 400 :: POST :: {_URL} :: urn:ietf:params:acme:error:badNonce :: again\nCould not obtain certificates:\n\tovh: error when call api",
            "the OVHcloud API does not take the challenge (ovh: error",
            None,
        ),
        (1, "propagation: time limit exceeded: last error: NS ns1. did not return the expected TXT record", "within 600 s (propagation", None),
        (1, "write /var/lib/x: no space left on device", "no space left", None),
        (1, "Get x: dial tcp 192.0.2.1:443: connect: connection refused", "the order failed (Get x", None),
        (1, "", "the order failed (it said nothing)", None),
        (124, "", "no end of the order within 1200 s", None),
        (127, "", "no program lego", None),
    ],
)  # fmt: skip
def test_each_way_to_fail_is_a_sentence(code: int, said: str, found: str, limited: float | None) -> None:
    error = told(code, said, NOW)
    assert found in str(error) and error.limited_s == limited
    assert str(error).startswith("the shop's certificate: found ") and str(error).count("; ") >= 2


def test_what_a_ca_says_neither_fills_nor_orders_a_terminal_about() -> None:
    error = str(told(1, f"error: 403 :: urn:ietf:params:acme:error:caa :: \x1b[2J{'x' * 100_000}", NOW))
    assert "\x1b" not in error and len(error) < 1500


# --- the bastion's job


@dataclass
class World:
    """A witness, a CA and a clock, as they are told to be."""

    root: Path
    secrets: dict[str, Any]
    ca: Ca
    active: Active | None = field(default_factory=lambda: Active(1, "a"))
    objects: dict[str, bytes] = field(default_factory=dict)
    ahead: float = 0.0
    silent: bool = False
    orders: list[str] = field(default_factory=list)
    issues: Callable[[], Pair] | None = None
    said: StringIO = field(default_factory=StringIO)
    beside: dict[str, str] = field(default_factory=dict)  # further certificates by host
    now: float = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).timestamp())

    def look(self) -> Glance:
        if self.silent:
            raise Silent("witness x: found no answer, wanted one")
        return Glance(self.active, dict(self.objects), self.ahead)

    def put(self, name: str, body: bytes) -> None:
        if self.silent:
            raise Silent("witness x: found no answer, wanted one")
        self.objects[name] = body

    def job(self, host: str) -> Job:
        name, _, site = host.partition(".")
        terms = Terms(
            directory="https://acme.example/dir",
            contact="ops@shop.example",
            endpoint="ovh-eu",
            resolvers=("192.0.2.53",),
            opened_by={name: it + self.beside.get(name, "") for name, it in recipients(self.secrets).items()},
        )
        return Job(site=site, host=name, shop=SHOP, ca=self.ca.pem, order=terms if name == "control-1" else None)

    def order(self, site: str) -> Memory:
        folder = self.root / f"control-1.{site}" / "state"
        folder.mkdir(parents=True, exist_ok=True)

        def order() -> Pair:
            self.orders.append(site)
            return (self.issues or self.ca.pair)()

        return Ordering(
            job=self.job(f"control-1.{site}"),
            own=own(self.root, self.secrets, f"control-1.{site}"),
            folder=folder,
            look=self.look,
            put=self.put,
            order=order,
            log=Log(self.said, "certificate order"),
            now=lambda: self.now,
        ).go()

    def take(self, host: str, reload: Callable[[], object] = lambda: None) -> dict[str, Any]:
        layout = Layout(self.root / host)
        layout.at("/etc/shop").mkdir(parents=True, exist_ok=True)
        layout.at("/state").mkdir(parents=True, exist_ok=True)
        return Taking(
            job=self.job(host),
            own=own(self.root, self.secrets, host),
            layout=layout,
            folder=layout.at("/state"),
            look=lambda: self.look().bodies,
            reload=reload,
            log=Log(self.said, "certificate take"),
        ).go()

    def shown(self, host: str) -> Path:
        return Layout(self.root / host).at("/etc/shop/shown")


@pytest.fixture
def world(tmp_path: Path, secrets: dict[str, Any], ca: Ca) -> World:
    return World(tmp_path, secrets, ca)


def test_nobody_orders_before_the_witness_says_who_is_active(world: World) -> None:
    world.active = None
    assert world.order("a").state == "no site is active yet"
    world.active, world.silent = Active(1, "a"), True
    assert world.order("a").state.startswith("the witness is silent")
    world.silent = False
    assert world.order("b").state == "site a is active, and orders"
    assert world.orders == [] and world.objects == {}


def test_one_order_serves_both_sites_and_the_next_epoch(world: World) -> None:
    first = world.order("a")
    assert first.state == "handed over" and world.order("a") == first
    world.active = Active(2, "b")
    assert world.order("b").ordered == first.ordered
    assert world.orders == ["a"]


def test_a_witness_that_dies_after_the_order_loses_nothing(world: World) -> None:
    def issued() -> Pair:
        world.silent = True
        return world.ca.pair()

    world.issues = issued
    assert world.order("a").state.startswith("the witness is silent")
    kept = [it for it in (world.root / "control-1.a/state").iterdir() if b"PRIVATE KEY" in it.read_bytes()]
    assert kept == [], "it waits as what is sealed"
    world.silent = False
    assert world.order("a").state == "handed over" and world.orders == ["a"]


def test_who_may_open_it_is_looked_at_each_time(world: World) -> None:
    """An app host more, or one with another certificate: it is sealed anew, and nothing is ordered."""
    world.order("a")
    before = dict(world.objects)
    renewed = certificates({name: [f"{name}.dr.internal"] for name in NAMES}, SHOP)["hosts"]["app-1.b"]
    world.secrets = {**world.secrets, "hosts": {**world.secrets["hosts"], "app-1.b": renewed}}
    assert world.order("a").state == "handed over" and world.orders == ["a"]
    assert world.objects != before
    assert opened(world.objects[objects()["a"]], own(world.root, world.secrets, "app-1.b"), SIGNER).shop == SHOP


@pytest.mark.parametrize("ahead", [4000.0, -4000.0])
def test_a_clock_that_is_off_asks_nothing_of_a_ca(world: World, ahead: float) -> None:
    world.ahead = ahead
    world.order("a")
    assert world.orders == [] and "clock is 4000 s" in world.said.getvalue()


@pytest.mark.parametrize(
    ("issued", "why"),
    [
        (lambda: Ca("another").pair(), "unable to get local issuer"),
        (lambda: Pair(shop=SHOP, cert="nothing", key="nothing"), "the CA has issued one that cannot be shown"),
    ],
)
def test_what_a_ca_has_sent_is_nobodys_word(world: World, issued: Callable[[], Pair], why: str) -> None:
    world.issues = issued
    done = world.order("a")
    assert why in str(done.error) and done.failures == 1 and world.objects == {}
    assert world.order("a").tried == done.tried and world.orders == ["a"], "it is not asked again before its time"


def test_a_refusal_for_the_rate_is_kept_to(world: World) -> None:
    def refused() -> Pair:
        raise NoCertificate("the CA was asked too often (x)", "nothing", 2 * DAY)

    world.issues = refused
    assert world.order("a").failures == 1
    world.now += DAY
    world.order("a")
    assert world.orders == ["a"]
    world.now += DAY + 60
    world.order("a")
    assert world.orders == ["a", "a"]


def test_a_disk_that_is_full_asks_nothing_of_a_ca(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that cannot be remembered would be made again every five minutes."""

    def full(folder: Path, it: Memory) -> None:
        if it.failures:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory, "save", full)
    world.order("a")
    assert world.orders == [] and "No space left on device" in world.said.getvalue()


def test_while_a_new_one_is_waited_for_an_app_host_more_gets_that_of_now(world: World) -> None:
    world.issues = lambda: world.ca.pair(days=(-70, 20))
    world.order("a")
    world.issues = None
    before = dict(world.objects)
    renewed = certificates({name: [f"{name}.dr.internal"] for name in NAMES}, SHOP)["hosts"]["app-1.b"]
    world.secrets = {**world.secrets, "hosts": {**world.secrets["hosts"], "app-1.b": renewed}}
    assert world.order("a").state.startswith("one is to be ordered, and the CA is asked again in ")
    assert world.orders == ["a"] and world.objects != before


# --- the app host's job


def test_it_is_shown_with_its_key_and_nginx_is_told_once(world: World) -> None:
    done, told_of = world.order("a"), list[str]()
    for _ in range(3):
        assert world.take("app-1.b", lambda: told_of.append("reload"))["shown"] == done.ordered
    link = world.shown("app-1.b")
    assert told_of == ["reload"] and "BEGIN CERTIFICATE" in (link / "tls.crt").read_text()
    assert (link / "tls.key").stat().st_mode & 0o777 == 0o600


def test_one_that_ends_earlier_takes_the_place_of_none(world: World) -> None:
    world.order("a")
    shown = world.take("app-1.a")["shown"]
    older = world.ca.pair(days=(-30, 60))
    world.objects = {
        objects()["a"]: seal(older, own(world.root, world.secrets, "control-1.a"), recipients(world.secrets))
    }
    assert world.take("app-1.a")["shown"] == shown


def test_what_may_not_be_shown_leaves_what_is(world: World) -> None:
    world.order("a")
    shown = world.take("app-1.a")["shown"]
    signs = own(world.root, world.secrets, "control-1.b")
    for spoiled in (world.ca.pair("www.other.example", days=(-1, 200)), Ca().pair(days=(-1, 200))):
        world.objects[objects()["b"]] = seal(spoiled, signs, recipients(world.secrets))
        found = world.take("app-1.a")
        assert (
            found["shown"] == shown
            and "what the bastion of site b has handed over: a customer would be warned" in found["error"]
        )


def test_a_witness_that_is_silent_leaves_what_is(world: World) -> None:
    world.order("a")
    world.take("app-1.a")
    target = world.shown("app-1.a").readlink()
    world.silent = True
    with pytest.raises(Silent):
        world.take("app-1.a")
    assert world.shown("app-1.a").readlink() == target


def test_a_reload_that_failed_is_made_by_the_next_run(world: World) -> None:
    def fails() -> None:
        raise Failed("unit nginx.service: found x")

    world.order("a")
    with pytest.raises(Failed, match=r"nginx\.service"):
        world.take("app-1.a", fails)
    told_of = list[str]()
    world.take("app-1.a", lambda: told_of.append("reload"))
    assert told_of == ["reload"]


def test_certificate_and_key_turn_in_one_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the link: what was shown is shown, whole."""
    world.order("a")
    world.take("app-1.a")
    before = world.shown("app-1.a").readlink()
    world.objects[objects()["b"]] = seal(
        world.ca.pair(days=(0, 200)), own(world.root, world.secrets, "control-1.b"), recipients(world.secrets)
    )

    def killed(link: Path, to: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(take, "turn", killed)
        with pytest.raises(KeyboardInterrupt):
            world.take("app-1.a")
    assert world.shown("app-1.a").readlink() == before
    world.take("app-1.a")
    assert world.shown("app-1.a").readlink() != before
    assert [it.name for it in world.shown("app-1.a").parent.glob("acme-*")] == [str(world.shown("app-1.a").readlink())]


# --- putting the jobs on a host


def told_host(name: str, order: bool) -> dict[str, Any]:
    """What `host converge` is told."""
    terms = {
        "directory": "https://acme.example/dir",
        "contact": "ops@shop.example",
        "endpoint": "ovh-eu",
        "resolvers": ["192.0.2.53"],
        "opened_by": {"app-1.a": "PEM"},
        "keys": {key: f"secret-{key}" for key in KEYS},
    }
    witness = {"endpoint": "https://s3.example", "region": "de", "bucket": "w", "access_key": "k", "secret_key": "s"}
    block = {"shop": SHOP, "ca": "PEM of a CA" if order else None, "order": terms if order else None}
    return {**HOST, "setup": {**SETUP, "packages": [], "witness": witness, "certificate": block}, "host": name}


def installed(root: Path, document: dict[str, Any], units: Units) -> list[str]:
    base = Base(Desired.read(document), Layout(root), Log(StringIO(), "host converge"), units)
    steps = [step for step in base.plan(base.facts()) if step.name.startswith("certificate-")]
    for step in steps:
        base.apply(step)
    return [step.name for step in steps]


def test_a_bastion_gets_what_orders_and_its_keys_are_roots(tmp_path: Path) -> None:
    units, etc = Units(), Layout(tmp_path).etc
    assert installed(tmp_path, told_host("control-1", True), units) == ["certificate-files", "certificate-start"]
    assert f"restart {TIMER}" in units.told
    for name in KEYS:
        path = etc / KEY_FILE.format(name=name)
        assert (path.read_text(), path.stat().st_mode & 0o777) == (f"secret-{name}", 0o600)
    assert "secret" not in (etc / FILE).read_text(), "everybody may read it"
    assert (etc / CAS).read_text() == "PEM of a CA"
    unit = (Layout(tmp_path).units / UNIT).read_text()
    assert "certificate order" in unit and "DynamicUser=yes" in unit
    assert Job.of_host(Layout(tmp_path)).order is not None
    assert installed(tmp_path, told_host("control-1", True), units) in ([], ["certificate-start"]), "once is enough"


def test_an_app_host_gets_what_takes_and_no_key(tmp_path: Path) -> None:
    installed(tmp_path, told_host("app-1", False), Units())
    assert "certificate take" in (Layout(tmp_path).units / UNIT).read_text()
    assert not [it for it in Layout(tmp_path).etc.iterdir() if it.name.startswith("certificate-")]
    assert Job.of_host(Layout(tmp_path)).order is None
    assert Layout(tmp_path).at("/etc/shop").is_dir(), "the job may write in it, and not make it"


def test_switched_off_nothing_of_the_job_stays(tmp_path: Path) -> None:
    units, document = Units(), told_host("control-1", True)
    installed(tmp_path, document, units)
    assert installed(tmp_path, {**document, "setup": SETUP}, units) == ["certificate-off"]
    assert f"disable {TIMER}" in units.told and f"stop {UNIT}" in units.told
    names = [
        it.name
        for folder in (Layout(tmp_path).etc, Layout(tmp_path).units)
        if folder.exists()
        for it in folder.iterdir()
    ]
    assert [name for name in names if "certificate" in name] == []
    assert installed(tmp_path, {**document, "setup": SETUP}, units) == []


def test_a_host_without_a_key_to_the_witness_is_told_of_no_certificate(tmp_path: Path) -> None:
    document = told_host("app-1", False)
    with pytest.raises(Usage, match=r"setup\.witness: found nothing"):
        Desired.read({**document, "setup": {**document["setup"], "witness": None}})
