"""Journals on their way with real servers on loopback: systemd-journal-upload, HAProxy with the hosts' certificates, a systemd-journal-remote for each host."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from contract.documents import Host
from scripts.ctl.stacks.secrets import Authority
from scripts.host.host.logs import config, reading
from tests.host.servers.monitoring_rig import until

ADDRESS, PORT = "127.62.0.131", 19_443
OTHERS = {
    key: Host(name=f"{key}.dr.internal", vrack="127.62.0.11", front="127.62.0.11") for key in ("app-1.a", "db-1.a")
}
REMOTE = "/usr/lib/systemd/systemd-journal-remote"
MANY = 3000


class Rig:
    """A control host that takes, and hosts that send. Its address needs no file of names: a certificate is of its address, too."""

    address = ADDRESS

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.running, self.authority = (
            folder,
            dict[str, subprocess.Popen[bytes]](),
            Authority("shop hosts"),
        )
        monkeypatch.setattr(config, "SOCKETS", str(folder))
        monkeypatch.setattr(config, "PORT", PORT)
        for name in ("files", "copies"):
            (folder / name).mkdir()
        own = self.authority.issue(["control-1.b.dr.internal", self.address])
        for name, text in (
            ("host.pem", own["cert"]),
            ("host.pem.key", own["key"]),
            ("ca.pem", self.authority.certificate_pem),
        ):
            (folder / "files" / name).write_text(text)
        told = config.entrance(f"{self.address}:{PORT}", OTHERS.items(), str(folder / "files"))
        (folder / "logs.cfg").write_text(told)
        for key in OTHERS:
            (folder / "copies" / key).mkdir()
            writes = [
                REMOTE,
                "--listen-http=-3",
                "--split-mode=none",
                f"--output={folder}/copies/{key}/{config.ACTIVE}",
            ]
            self.start(f"takes-{key}", ["systemd-socket-activate", f"--listen={folder}/{key}.sock", *writes])
        self.entrance()
        for key, it in OTHERS.items():
            self.certify(key, it.name)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen([*arguments], stdout=log, stderr=log)

    def stop(self, name: str) -> None:
        self.running[name].terminate()
        self.running.pop(name).wait(20)

    def entrance(self) -> None:
        self.start("entrance", ["haproxy", "-db", "-f", str(self.folder / "logs.cfg")])

    def certify(self, key: str, name: str) -> None:
        own, files = self.authority.issue([name]), self.folder / key
        files.mkdir()
        for file, text in (
            ("host.crt", own["cert"]),
            ("host.crt.key", own["key"]),
            ("ca.pem", self.authority.certificate_pem),
        ):
            (files / file).write_text(text)

    # --- of a host

    def says(self, key: str, *messages: str) -> None:
        """Its journal has these lines behind those of before."""
        at = time.time_ns() // 1000
        entries = [
            f"__REALTIME_TIMESTAMP={at + number}\n__MONOTONIC_TIMESTAMP={at % 10**12 + number}\n_BOOT_ID={'b' * 32}\n_MACHINE_ID={'c' * 32}\n"
            f"_HOSTNAME=another\nSYSLOG_IDENTIFIER=test\nMESSAGE={text}\n"
            for number, text in enumerate(messages)
        ]
        journal = self.folder / key / "journal"
        journal.mkdir(exist_ok=True)
        (self.folder / "export").write_text("\n".join(entries) + "\n")
        made = [REMOTE, "--split-mode=none", f"--output={journal}/own.journal", str(self.folder / "export")]
        subprocess.run(made, check=True, capture_output=True)

    def sends(self, key: str, of: str = "") -> None:
        """`of`: whose certificate it shows; its own where that is empty."""
        words = config.upload_arguments(self.address, str(self.folder / (of or key)), str(self.folder / key / "state"))
        self.start(f"sends-{key}", [*words, f"--directory={self.folder}/{key}/journal"])

    def known(self, key: str) -> bool:
        """Whether the host knows how far it is."""
        return "LAST_CURSOR=" in (self.folder / key / "state").read_text()

    def shown(self, capsys: pytest.CaptureFixture[str], *keys: str) -> list[str]:
        """As `drctl logs` shows it, without times."""
        assert reading.main(keys, self.folder / "copies") == 0
        return [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]

    def way(self, key: str | None, source: str = "", limit_s: float = 10) -> http.client.HTTPSConnection:
        """With that host's certificate, or with none; from an address of its own."""
        context = ssl.create_default_context(cafile=str(self.folder / "files/ca.pem"))
        if key is not None:
            context.load_cert_chain(self.folder / key / "host.crt", self.folder / key / "host.crt.key")
        return http.client.HTTPSConnection(
            self.address, PORT, timeout=limit_s, context=context, source_address=(source, 0)
        )

    def asked(
        self,
        key: str | None,
        path: str = "/upload",
        said: Mapping[str, str] | None = None,
        source: str = "",
        limit_s: float = 10,
    ) -> int:
        """HTTP status of an empty upload. Raises OSError."""
        connection = self.way(key, source, limit_s)
        try:
            connection.request("POST", path, b"", {"Content-Type": "application/vnd.fdo.journal", **(said or {})})
            return connection.getresponse().status
        finally:
            connection.close()

    def close(self) -> None:
        for name in list(self.running):
            self.stop(name)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="logs-") as folder:  # a short path: a socket's has 107 characters at most
        it = Rig(Path(folder), monkeypatch)
        try:
            until("the entrance answers", lambda: it.asked("db-1.a"))
            yield it
        finally:
            it.close()


def test_what_a_host_says_lies_under_the_name_in_its_certificate_and_under_no_other(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.says("db-1.a", "one", "two")
    rig.says("app-1.a", "three", *(f"line {number} {'x' * 900}" for number in range(MANY)))
    rig.sends("db-1.a")
    rig.sends("app-1.a")
    until("all of it is there", lambda: len(rig.shown(capsys, *OTHERS)) == MANY + 3 and rig.known("db-1.a"))
    assert rig.shown(capsys, "db-1.a") == ["db-1.a test: one", "db-1.a test: two"], "whatever it calls itself"
    rig.stop("sends-db-1.a")
    rig.says("db-1.a", "with the certificate of another")
    rig.sends("db-1.a", of="app-1.a")
    until("it lies with the other one's", lambda: rig.shown(capsys, "app-1.a")[-1].endswith("of another"))
    assert len(rig.shown(capsys, "db-1.a")) == 2


def test_who_is_none_of_the_other_regions_hosts_writes_nothing(rig: Rig) -> None:
    rig.certify("db-1.b", "db-1.b.dr.internal")
    assert rig.asked("db-1.b") == 403, "of the own region"
    assert rig.asked("db-1.a", "/") == 403, "nothing but uploads"
    with pytest.raises(OSError, match=r"(?i)certificate required|reset|closed"):
        rig.asked(None)
    stranger = Authority("another CA").issue(["db-1.a.dr.internal"])
    (rig.folder / "db-1.b/host.crt").write_text(stranger["cert"])
    (rig.folder / "db-1.b/host.crt.key").write_text(stranger["key"])
    with pytest.raises(OSError, match=r"(?i)unknown ca|reset|closed"):
        rig.asked("db-1.b")


def hold(rig: Rig, held: ExitStack, source: str) -> None:
    """A host that is somebody else's, and has a good certificate, comes in as often as it can and says no more."""
    for _ in range(config.MOST):
        way = held.enter_context(closing(rig.way("db-1.a", source)))
        with suppress(OSError):
            way.connect()


def test_a_host_that_holds_all_the_connections_it_gets_holds_up_no_other(rig: Rig) -> None:
    with ExitStack() as held:
        hold(rig, held, "127.62.0.12")
        assert rig.asked("app-1.a", source="127.62.0.13", limit_s=2) == 202
    until("its own are closed", lambda: rig.asked("db-1.a", source="127.62.0.12") == 202)


def test_a_receiver_that_is_gone_ends_the_upload_and_the_next_one_goes_on_where_it_was(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.says("db-1.a", "one")
    rig.sends("db-1.a")
    until("the first is known to be there", lambda: rig.known("db-1.a"))
    rig.stop("entrance")
    rig.says("db-1.a", "two")
    assert rig.running.pop("sends-db-1.a").wait(20) == 1, "the unit takes this for no failure"
    rig.entrance()
    until("it answers again", lambda: rig.asked("db-1.a"))
    rig.sends("db-1.a")
    until("the second is there", lambda: len(rig.shown(capsys, "db-1.a")) > 1)
    assert rig.shown(capsys, "db-1.a") == ["db-1.a test: one", "db-1.a test: two"], (
        "none is shown twice, though the last one was sent again"
    )


def test_where_the_journal_no_longer_has_what_was_sent_last_it_goes_on_behind_it(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.says("db-1.a", "one")
    rig.sends("db-1.a")
    until("the first is known to be there", lambda: rig.known("db-1.a"))
    rig.stop("sends-db-1.a")
    for file in (rig.folder / "db-1.a/journal").iterdir():
        file.unlink()
    rig.says("db-1.a", "two", "three", "four")
    rig.sends("db-1.a")
    until("the rest is there", lambda: "db-1.a test: four" in rig.shown(capsys, "db-1.a"))
    assert rig.shown(capsys, "db-1.a")[0] == "db-1.a test: one", "what was sent stays"
