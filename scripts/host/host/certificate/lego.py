"""One order by `lego`, bounded, and what it said of it as one sentence.

lego speaks ACME, makes account and key, answers the challenge by the OVHcloud API and waits until the zone's own name servers serve it. What it
prints is in part the CA's and the API's own words: they are cut and spelled out, and decide nothing but how long is waited.
"""

from __future__ import annotations

import calendar
import re
import shutil
import time
from pathlib import Path

from contract.dataclass import dataclass
from contract.errors import Failed, say
from contract.plain import phrase
from contract.services.certificate import Pair

from ...frame.commands import NOT_THERE, TIMED_OUT, run
from .job import KEYS, Job
from .memory import LIMITED_S

PROGRAM, OWN = "lego", "lego"  # the latter: the folder where it works
# OVHcloud's zones take some two minutes to be served; ten are waited for.
PROPAGATION_S, POLL_S, HTTP_S, ORDER_S = 600, 5, 30, 1200.0
MOST_BYTES = 200_000
FREE_BYTES = 20 * 2**20  # for lego's files, and so that nothing else of this host runs out by them
_ACME = re.compile(
    r"\b(?P<code>[1-5]\d\d) :: (?:[A-Z]+ :: \S+ :: )?urn:ietf:params:acme:error:(?P<kind>\w+) :: (?P<said>[^\n]*)"
)
_AFTER = re.compile(r"retry after (\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)", re.IGNORECASE)
_ENDS = (
    "could not obtain certificates",
    "could not complete registration",
)  # how lego begins to say what an order failed of
_LIMITED = re.compile(r"\b429\b|rateLimited|too many (?:requests|certificates|failed)", re.IGNORECASE)


class NoCertificate(Failed):
    """`limited_s`: how long the CA wants to be left alone; None where it did not refuse for the rate."""

    def __init__(self, found: str, remedy: str, limited_s: float | None = None) -> None:
        super().__init__(
            say(
                subject="the shop's certificate",
                found=found,
                wanted="one that the CA has issued",
                consequence="the one before is shown until it ends, and the next try waits its turn",
                remedy=remedy,
            )
        )
        self.limited_s = limited_s


@dataclass(frozen=True)
class Lego:
    """`folder`: where account and orders lie, the job's own. `keys`: the folder with the files of `KEYS`."""

    job: Job
    folder: Path
    keys: Path
    cas: Path | None  # of the directory, where it is none of the public roots'

    def order(self) -> Pair:
        """Raises NoCertificate. What lego leaves of the key is taken away, however it ends."""
        if shutil.disk_usage(self.folder).free < FREE_BYTES:
            raise NoCertificate(
                f"less than {FREE_BYTES >> 20} MiB free where lego works, so nothing was asked of the CA",
                "make room on this host",
            )
        self._clear()
        try:
            return self._ordered()
        finally:
            self._clear()

    def _ordered(self) -> Pair:
        assert self.job.order is not None
        it = self.job.order
        words = ["--accept-tos", "--email", it.contact, "--server", it.directory, "--path", str(self.folder / OWN)]
        words += ["--dns", "ovh", "--domains", self.job.shop, "--key-type", "ec256", "--http-timeout", str(HTTP_S)]
        words += ["--dns-timeout", "10", "--cert.timeout", "90"]
        for resolver in it.resolvers:
            words += ["--dns.resolvers", resolver if ":" in resolver else f"{resolver}:53"]
        environment = {f"OVH_{name.upper()}_FILE": str(self.keys / name) for name in KEYS} | {
            "OVH_ENDPOINT": it.endpoint,
            "OVH_HTTP_TIMEOUT": str(HTTP_S),
            "OVH_PROPAGATION_TIMEOUT": str(PROPAGATION_S),
            "OVH_POLLING_INTERVAL": str(POLL_S),
            "OVH_TTL": "60",
        }
        if self.cas is not None:
            environment["LEGO_CA_CERTIFICATES"] = str(self.cas)
        done = run([PROGRAM, *words, "run"], limit_s=ORDER_S, environment=environment, check=False)
        if done.code != 0:
            raise told(done.code, f"{done.out}\n{done.err}", time.time())
        made = self.folder / OWN / "certificates"
        return Pair(
            shop=self.job.shop, cert=_text(made / f"{self.job.shop}.crt"), key=_text(made / f"{self.job.shop}.key")
        )

    def _clear(self) -> None:
        """Its account stays."""
        shutil.rmtree(self.folder / OWN / "certificates", ignore_errors=True)


def told(code: int, said: str, now: float) -> NoCertificate:
    """What an order that failed came to, by what lego printed last. Pure. `now`: seconds since 1970."""
    said = said[-20_000:]
    said = said[max(0, *(said.lower().rfind(it) for it in _ENDS)) :]  # before it stands what was tried again
    refusals = [*_ACME.finditer(said)]
    last = refusals[-1] if refusals else None
    if _LIMITED.search(last.group(0) if last else said):
        after = limited_s(said, now)
        return NoCertificate(
            f"the CA was asked too often ({_shown(last['said'] if last else _last(said))})",
            f"nothing: it is asked again in {after / 3600:.1f} hours at the earliest; see who else orders certificates of this name",
            after,
        )
    if last:
        return NoCertificate(
            f"the CA refuses: {_shown(last['kind'], 40)} ({_shown(last['said'])})",
            "see dr:shop.acme, the zone's CAA records, and whether _acme-challenge of the shop's name leads where dr:shop.acme.zone says",
        )
    found, remedy = _of_ours(code, said)
    return NoCertificate(found, remedy)


def _of_ours(code: int, said: str) -> tuple[str, str]:
    """What was found, and the remedy, where it is not the CA that refuses."""
    lower, last = said.lower(), _shown(_last(said))
    rows = (
        (code == NOT_THERE, "no program lego on this host", "run `pulumi up` for this site, which installs it"),
        (
            code == TIMED_OUT,
            f"no end of the order within {ORDER_S:.0f} s",
            "see whether CA, name servers and OVHcloud API answer",
        ),
        ("no space left" in lower, "no space left where lego works", "make room on this host"),
        (
            "time limit exceeded" in lower or "propagation" in lower,
            f"the zone's name servers do not serve the challenge within {PROPAGATION_S} s ({last})",
            "see whether they answer, and whether _acme-challenge of the shop's name leads where dr:shop.acme.zone says",
        ),
        (
            "ovh: " in lower,
            f"the OVHcloud API does not take the challenge ({last})",
            "see whether the API answers, and whether the key `acme` of dr:secrets has the rules that `drctl rights acme` prints",
        ),
        (True, f"the order failed ({last})", "see dr:shop.acme.directory, and whether it answers"),
    )
    return next((found, remedy) for fits, found, remedy in rows if fits)


def limited_s(said: str, now: float) -> float:
    """Seconds for which the CA wants to be left alone, as Let's Encrypt says it; `LIMITED_S` where it does not say."""
    found = _AFTER.findall(said)
    if not found:
        return LIMITED_S
    try:
        return max(calendar.timegm(time.strptime(found[-1].replace("T", " "), "%Y-%m-%d %H:%M:%S")) - now, 0.0)
    except (ValueError, OverflowError):
        return LIMITED_S


def _last(said: str) -> str:
    return next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")


def _shown(said: str, most: int = 300) -> str:
    return phrase(said, most)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            body = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise ValueError
        return body.decode("ascii")
    except (OSError, ValueError):
        raise NoCertificate(
            f"lego says that it was issued, and {path.name} is none that can be read",
            "see the CA, and `lego --version` there",
        ) from None
