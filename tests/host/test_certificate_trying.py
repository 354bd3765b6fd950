"""`dr-host certificate try` and `greet` as they are called: what is left on a disk, what is refused, what a line may be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ExitCode, Failed
from contract.greeting import Fresh, Try
from scripts.ctl.stacks.secrets import Authority
from scripts.host.frame import cli
from scripts.host.frame.commands import Done
from scripts.host.frame.layout import Layout
from scripts.host.host.certificate import trying
from scripts.host.services import SERVICES

SHOP, ALIAS = "www.shop.example", "shop.example"
NGINX = """user www-data;
pid /run/nginx.pid;
http {
  server {
    ssl_certificate /etc/shop/tls.crt;
    ssl_certificate_key /etc/shop/tls.key;
  }
  server {
    ssl_certificate /etc/dr/host.crt;
    ssl_certificate_key /etc/dr/host.key;
  }
}
"""


class Nginx:
    """What it was called with, and what it found there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, done: Done) -> None:
        self.done, self.text, self.modes = done, "", dict[str, int]()
        monkeypatch.setattr(trying, "run", self.run)

    def run(self, argv: list[str], **_: Any) -> Done:
        assert argv[:4] == ["nginx", "-t", "-q", "-c"]
        file = Path(argv[4])
        self.text = file.read_text()
        self.modes = {it.name: it.stat().st_mode & 0o777 for it in file.parent.iterdir()}
        self.folder = file.parent
        return self.done


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    for folder in ("run", "etc/nginx"):
        layout.at(f"/{folder}").mkdir(parents=True)
    layout.at("/etc/nginx/nginx.conf").write_text(NGINX)
    return layout


@pytest.fixture
def nginx(monkeypatch: pytest.MonkeyPatch) -> Nginx:
    return Nginx(monkeypatch, Done(0, "", ""))


BY = Authority("shop entrance")


def told(names: tuple[str, ...] = (SHOP, ALIAS), of: tuple[str, ...] = (SHOP, ALIAS)) -> Try:
    return Try(names=names, ca=BY.certificate_pem, new=Fresh(**BY.issue(list(of))))


@pytest.mark.parametrize("place", ["/etc/shop/tls", "/etc/shop/shown/tls"])
def test_nginx_reads_the_new_pair_in_the_place_of_the_shops_and_nothing_of_it_stays(
    layout: Layout, nginx: Nginx, place: str
) -> None:
    layout.at("/etc/nginx/nginx.conf").write_text(NGINX.replace("/etc/shop/tls", place))
    assert trying.attempt(layout, told()) > 1_700_000_000
    folder = nginx.folder
    assert f"ssl_certificate {folder}/tls.crt;" in nginx.text and f"ssl_certificate_key {folder}/tls.key;" in nginx.text
    assert "ssl_certificate /etc/dr/host.crt;" in nginx.text and f"pid {folder}/nginx.pid;" in nginx.text
    assert "/etc/shop" not in nginx.text and nginx.modes["tls.key"] == 0o600
    assert folder.parent == layout.at("/run") and list(layout.at("/run").iterdir()) == []


def test_what_a_killed_run_has_left_goes(layout: Layout, nginx: Nginx) -> None:
    left = layout.at("/run") / f"{trying.FOLDER}x"
    left.mkdir()
    (left / "tls.key").write_text("a key")
    trying.attempt(layout, told())
    assert not left.exists()


def test_one_that_nginx_refuses_is_told_in_its_words(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Nginx(monkeypatch, Done(1, "", 'nginx: [emerg] cannot load certificate "x": PEM_read_bio_X509_AUX() failed\n'))
    with pytest.raises(Failed, match=r"nginx does not take it .*PEM_read_bio"):
        trying.attempt(layout, told())
    assert list(layout.at("/run").iterdir()) == [] and it.text


def test_one_that_does_not_name_each_name_of_the_shop_is_refused_before_nginx_is_asked(
    layout: Layout, nginx: Nginx
) -> None:
    with pytest.raises(Failed, match=f"for {ALIAS}: a customer would be warned"):
        trying.attempt(layout, told(of=(SHOP,)))
    assert nginx.text == ""


@pytest.mark.parametrize(("text", "says"), [(None, "cannot be read"), ("http {}", "names no certificate of the shop")])
def test_a_host_without_a_shop_is_no_proof(layout: Layout, nginx: Nginx, text: str | None, says: str) -> None:
    file = layout.at("/etc/nginx/nginx.conf")
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(Failed, match=says):
        trying.attempt(layout, told())
    assert nginx.text == ""


def greeted(layout: Layout, lines: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    err = io.StringIO()
    code = cli.main(["certificate", "greet"], SERVICES, stdin=io.StringIO(lines), stderr=err, layout=layout)
    return code, capsys.readouterr().out + err.getvalue()


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("", ExitCode.DONE, '"op": "certificate greet"'),
        ("no json\n", ExitCode.USAGE, "found a line that is no JSON object"),
        ("[]\n", ExitCode.USAGE, "wanted an object"),
        ('{"heard": "' + "A" * 200_000 + '"}\n', ExitCode.USAGE, "nobody was greeted"),
        ('{"schema": 1, "heard": ""}\n', ExitCode.FAILED, "a turn of no handshake"),
        (
            json.dumps({"begin": {"place": "host", "shows": "own", "trusts": "own"}}) + "\n",
            ExitCode.FAILED,
            "host.crt cannot be read",
        ),
        (
            json.dumps({"begin": {"place": "database", "shows": "own", "trusts": "own"}}) + "\n",
            ExitCode.FAILED,
            "no server of ours on this host",
        ),
    ],
)
def test_a_line_that_is_none_ends_it_with_a_sentence(
    layout: Layout, capsys: pytest.CaptureFixture[str], line: str, code: ExitCode, says: str
) -> None:
    found, said = greeted(layout, line, capsys)
    assert (found, says in said, "Traceback" in said) == (code, True, False), said
