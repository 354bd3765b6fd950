"""A certificate of the shop that is shown to nobody: held against what a customer's browser does, by this host's clock, and read by this host's nginx."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from contract.errors import Failed, say
from contract.greeting import Try
from contract.services.certificate import Pair

from ...app.names import SHOP, SHOWN
from ...frame.commands import run
from ...frame.layout import Layout
from .shown import Unfit, fit

FOLDER, NGINX_S = "dr-certificate-try-", 60.0  # the former: below /run, which is memory
_PAIR = re.compile(rf"(ssl_certificate(?:_key)?) (?:{SHOWN}|{SHOP})/tls\.(crt|key);")
_PID = re.compile(r"^pid [^;]+;", re.MULTILINE)


def attempt(layout: Layout, it: Try) -> float:
    """When it ends, in seconds since 1970. Raises Failed where a customer would be warned, or nginx would not start with it; its files are gone either way."""
    run_folder = layout.at("/run")
    for left in run_folder.glob(f"{FOLDER}*"):  # of a run that was killed: a key lies there
        shutil.rmtree(left, ignore_errors=True)
    ends = []
    for name in it.names:
        try:
            ends.append(fit(Pair(shop=name, cert=it.new.cert, key=it.new.key), name, it.ca).ends)
        except Unfit as error:
            raise _refused(f"for {name}: {error}") from None
    with tempfile.TemporaryDirectory(prefix=FOLDER, dir=run_folder) as folder:
        _by_nginx(layout, Path(folder), it)
    return min(ends)


def _by_nginx(layout: Layout, folder: Path, it: Try) -> None:
    try:
        text = layout.at("/etc/nginx/nginx.conf").read_text()
    except OSError as error:
        raise _refused(f"nginx.conf of this host cannot be read ({error.strerror})") from None
    own, found = _PAIR.subn(rf"\1 {folder}/tls.\2;", text)
    if not found:
        raise _refused("this host's nginx.conf names no certificate of the shop")
    for name, body in (("tls.crt", it.new.cert), ("tls.key", it.new.key)):
        (folder / name).touch(0o600)
        (folder / name).write_text(body)
    (folder / "nginx.conf").write_text(_PID.sub(f"pid {folder}/nginx.pid;", own))
    done = run(["nginx", "-t", "-q", "-c", str(folder / "nginx.conf")], limit_s=NGINX_S, check=False)
    if done.code:
        with suppress(OSError):
            (folder / "nginx.conf").unlink()
        raise _refused(f"nginx does not take it ({done.reason.replace(str(folder), '')})")


def _refused(found: str) -> Failed:
    return Failed(
        say(
            subject="certificate of the shop that was tried",
            found=found,
            wanted="one that customers and nginx take",
            consequence="nothing was changed, and what is shown stays",
            remedy="see *A public certificate* in docs/failover.md",
        )
    )
