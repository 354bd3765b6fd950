"""What guests, routers and balancers are configured with, as texts: no root, no machine."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from lab.cloud.backend import (
    BalancerSpec,
    Listener,
    Member,
    Monitor,
    Nic,
    Pool,
    RouterInterface,
    RouterSpec,
    Rule,
    ServerSpec,
)
from lab.faults import unreachable_filter
from lab.machines import guest, haproxy, image, settings
from lab.machines.hosts import Volume, device_script, kill_cgroup
from lab.machines.networks import ext_bridge, link_filter
from lab.machines.routers import nat

FRONT = Nic(
    port_id="p1",
    network_id="n1",
    mac="fa:16:3e:00:00:11",
    address="10.1.0.11",
    prefix_length=24,
    gateway="10.1.0.1",
    dns=("192.0.2.53",),
    mtu=1450,
)
VRACK = Nic(
    port_id="p2", network_id="n2", mac="fa:16:3e:00:00:12", address="10.100.0.11", prefix_length=24, gateway=None
)


def test_the_guest_gets_static_addresses_and_one_default_route() -> None:
    config = json.loads(guest.network_config((FRONT, VRACK)))
    assert config["version"] == 2
    assert config["ethernets"]["ens3"] == {
        "match": {"macaddress": FRONT.mac}, "dhcp4": False, "dhcp6": False, "accept-ra": False, "link-local": [], "mtu": 1450,
        "addresses": ["10.1.0.11/24"], "routes": [{"to": "0.0.0.0/0", "via": "10.1.0.1"}], "nameservers": {"addresses": ["192.0.2.53"]},
    }  # fmt: skip
    assert "routes" not in config["ethernets"]["ens4"]


def test_the_seed_names_the_instance_and_carries_user_data_as_it_is() -> None:
    spec = ServerSpec(
        region="GRA11",
        server_id="id",
        name="db-1",
        nics=(FRONT,),
        user_data="#cloud-config\nx: 1\n",
        key="ssh-ed25519 AAAA me",
    )
    seed = guest.seed(spec)
    assert json.loads(seed["meta-data"]) == {
        "instance-id": "id",
        "local-hostname": "db-1",
        "public-keys": ["ssh-ed25519 AAAA me"],
    }
    assert seed["user-data"] == "#cloud-config\nx: 1\n"
    bare = guest.seed(ServerSpec(region="GRA11", server_id="id", name="db-1", nics=(FRONT,), user_data="", key=None))
    assert bare["user-data"].startswith("#cloud-config\n")
    assert "public-keys" not in json.loads(bare["meta-data"])


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (Rule(direction="ingress"), "accept"),
        (
            Rule(direction="ingress", protocol="tcp", port_min=5432, port_max=5432, remote="10.100.0.0/24"),
            "ip saddr 10.100.0.0/24 tcp dport 5432 accept",
        ),
        (
            Rule(direction="egress", protocol="udp", port_min=53, port_max=54, remote="192.0.2.53/32"),
            "ip daddr 192.0.2.53/32 udp dport 53-54 accept",
        ),
        (Rule(direction="ingress", protocol="tcp", remote="0.0.0.0/0"), "meta nfproto ipv4 meta l4proto tcp accept"),
        (Rule(direction="ingress", protocol="6", port_min=22, port_max=22), "tcp dport 22 accept"),
        (
            Rule(direction="ingress", protocol="icmp", port_min=8, port_max=0),
            "meta l4proto icmp icmp type 8 icmp code 0 accept",
        ),
        (Rule(direction="ingress", protocol="icmp"), "meta l4proto icmp accept"),
        (Rule(direction="ingress", protocol="112"), "meta l4proto 112 accept"),
        (Rule(direction="egress", remote="::/0"), "meta nfproto ipv6 accept"),
    ],
)
def test_a_security_group_rule_as_a_statement(rule: Rule, wanted: str) -> None:
    assert guest.statement(rule) == wanted


def test_a_port_drops_by_default_and_one_without_security_is_not_named() -> None:
    text = guest.port_filter(
        {"ens3": (Rule(direction="ingress", protocol="tcp", port_min=22, port_max=22),), "ens4": None}
    )
    assert "ens4" not in text
    chain = text[text.rindex("chain ingress_ens3 {") :].split("}")[0]
    assert [line.strip() for line in chain.splitlines()[1:] if line.strip()] == [
        "ct state established,related accept",
        "tcp dport 22 accept",
        "drop",
    ]
    out = text[text.rindex("chain egress_ens3 {") :].split("}")[0]
    assert "tcp dport 22" not in out
    assert "drop" in out
    assert text.startswith("table inet lab_port\ndelete table inet lab_port\n"), "replaced as a whole"


def router(external: str | None = "203.0.113.10", floating: tuple[tuple[str, str], ...] = ()) -> RouterSpec:
    gateway = RouterInterface(network_id="n1", address="10.1.0.1", prefix_length=24, mac="fa:16:3e:00:00:01")
    return RouterSpec(
        region="GRA11", router_id="r", external_address=external, interfaces=(gateway,), floating=floating
    )


def test_a_floating_ip_is_translated_in_before_the_common_address_out() -> None:
    text = nat(router(floating=(("203.0.113.50", "10.1.0.31"),)))
    assert "ip daddr 203.0.113.50 dnat to 10.1.0.31" in text
    assert text.index("ip saddr 10.1.0.31 snat to 203.0.113.50") < text.index('oifname "ext" snat to 203.0.113.10')


def test_a_router_without_an_external_address_translates_nothing() -> None:
    assert "snat" not in nat(router(None))


MONITOR = Monitor(
    kind="HTTP",
    delay=3,
    timeout=2,
    max_retries=2,
    max_retries_down=3,
    http_method="HEAD",
    url_path="/health",
    expected_codes="200-204, 301",
)
MEMBER = Member(
    member_id="m1",
    address="10.1.0.41",
    port=443,
    weight=1,
    monitor_address=None,
    monitor_port=8080,
    backup=False,
    enabled=True,
)


def balancer(pool: Pool | None, **listener: object) -> str:
    entry = Listener(listener_id="l1", protocol=str(listener.pop("protocol", "TCP")), port=443, pool=pool, **listener)  # type: ignore[arg-type]
    spec = BalancerSpec(
        region="GRA11",
        balancer_id="b",
        network_id="n",
        vip="10.1.0.5",
        prefix_length=24,
        gateway=None,
        listeners=(entry,),
    )
    return haproxy.config(spec, Path("/run/lb"))


def test_a_member_is_checked_as_the_monitor_says() -> None:
    text = balancer(Pool(pool_id="p1", protocol="PROXYV2", algorithm="SOURCE_IP", members=(MEMBER,), monitor=MONITOR))
    for line in (
        "  bind 10.1.0.5:443", "  default_backend p1", "  balance source", "  timeout check 2s", "  option httpchk",
        "  http-check send meth HEAD uri /health", "  http-check expect status 200-204,301",
        "  server m1 10.1.0.41:443 weight 1 send-proxy-v2 check inter 3s fall 3 rise 2 port 8080",
    ):  # fmt: skip
        assert line in text.splitlines()


def test_without_a_monitor_nothing_is_checked() -> None:
    text = balancer(Pool(pool_id="p1", protocol="TCP", algorithm="ROUND_ROBIN", members=(MEMBER,), monitor=None))
    assert "  server m1 10.1.0.41:443 weight 1" in text.splitlines()
    assert "httpchk" not in text


def test_an_http_listener_names_the_caller_and_a_bare_listener_has_no_backend() -> None:
    pool = Pool(pool_id="p1", protocol="HTTP", algorithm="LEAST_CONNECTIONS", members=(), monitor=None)
    text = balancer(pool, protocol="HTTP", allowed_cidrs=("192.0.2.0/24",), connection_limit=7)
    assert "  option forwardfor" in text
    assert "  tcp-request connection reject unless { src 192.0.2.0/24 }" in text
    assert "  maxconn 7" in text.splitlines()
    assert "default_backend" not in balancer(None)


def test_faults_of_links_and_regions_replace_what_was_in_force() -> None:
    assert 'device "kab"' in link_filter(["kab"])
    assert "device" not in link_filter([])
    assert "ip daddr { 203.0.113.2, 203.0.113.3 } drop" in unreachable_filter(["203.0.113.2", "203.0.113.3"])
    assert "drop" not in unreachable_filter([])


def test_names_of_interfaces_fit_the_kernel() -> None:
    assert len(ext_bridge("A-REGION-WITH-A-LONG-NAME")) <= 15


def test_a_volume_has_its_name_and_its_link_in_the_guest() -> None:
    script = device_script(
        Volume("6f1de2a4-0b7b-4f0c-9d38-2f6a3f1f9a10", Path("/dev/loop5"), "vdc"), number=(7 << 8) | 5
    )
    assert "mknod -m 0660 /dev/vdc b 7 5" in script
    assert "ln -sfn /dev/vdc /dev/disk/by-id/virtio-6f1de2a4-0b7b-4f0c-9" in script


def test_the_guests_layer_masks_and_wants_units(tmp_path: Path) -> None:
    settings.write(tmp_path)
    settings.write(tmp_path)
    units = tmp_path / "etc/systemd/system"
    assert (units / "getty.target").readlink() == Path("/dev/null")
    assert (units / "local-fs.target.wants/lab-volumes.service").readlink() == Path(
        "/etc/systemd/system/lab-volumes.service"
    )


def test_the_image_follows_from_its_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.recipe()
    assert "postgresql-17" in before
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "another"))
    assert image.recipe() != before


def test_a_control_group_that_goes_meanwhile_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "group"
    group.mkdir()

    def read(_: Path) -> str:
        shutil.rmtree(group)
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(Path, "read_text", read)
    kill_cgroup(group)
    assert not group.exists()
