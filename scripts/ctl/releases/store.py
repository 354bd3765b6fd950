"""Releases in the buckets of both regions: put into both, looked at in both, and what is spoiled in one is taken from the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from components.render.documents import release_bucket
from components.settings import Settings
from contract import artefact, release
from contract.dataclass import dataclass
from contract.errors import DrError, Failed, Partial, Usage
from contract.plain import shown
from contract.release import Card
from contract.sites import SITES
from scripts.clients.release_bucket import ReleaseBucket, ReleasesDown
from scripts.ctl.releases.build import card_file

T = TypeVar("T")
WELL, MISSING, SPOILED, UNKNOWN = "well", "missing", "SPOILED", "unknown"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One release. `states`: by site; of a plain listing a copy that is there is `there`."""

    digest: str
    card: Card | None
    states: Mapping[str, str]


class Store:
    """Both buckets. `keys` open both."""

    def __init__(self, settings: Settings, keys: Mapping[str, str]) -> None:
        self._most_mb = settings.app.release_max_mb
        self.buckets = {site: ReleaseBucket(release_bucket(settings, site, keys), self._most_mb) for site in SITES}

    def rows(self) -> tuple[list[Row], dict[str, str]]:
        """All that either region holds, newest build first; and of regions that do not answer, why."""
        found, silent = dict[str, list[str]](), dict[str, str]()
        for site, told in self._each(lambda bucket: bucket.digests()).items():
            if isinstance(told, DrError):
                silent[site] = str(told)
            else:
                found[site] = told
        rows = []
        for digest in sorted({it for each in found.values() for it in each}):
            states = {
                site: UNKNOWN if site in silent else "there" if digest in found[site] else MISSING for site in SITES
            }
            rows.append(Row(digest=digest, card=self._card(digest, states), states=states))
        return sorted(rows, key=lambda it: (it.card.built if it.card else None) or "", reverse=True), silent

    def _card(self, digest: str, states: Mapping[str, str]) -> Card | None:
        for site in (it for it in SITES if states[it] == "there"):
            try:
                if card := self.buckets[site].card(digest):
                    return card
            except ReleasesDown:
                continue
        return None

    def push(self, path: Path) -> Card:
        """Into both, unless it is there already. Raises Usage for what is no release, Partial where one region did not take it, Failed where none did."""
        card, body = _told(path, self._most_mb)

        def bring(bucket: ReleaseBucket) -> bool:
            try:
                there = bucket.artefact(card.digest)
            except ReleasesDown:
                raise
            except Failed:  # spoiled: it is written over
                there = None
            if there is None or bucket.card(card.digest) is None:
                bucket.put(card, body)
            return True

        wrong = {site: str(it) for site, it in self._each(bring).items() if isinstance(it, DrError)}
        if len(wrong) == len(SITES):
            raise Failed("; ".join(wrong.values()))
        if wrong:
            kept = ", ".join(sorted(set(SITES) - wrong.keys()))
            raise Partial(
                f"release {card.digest[:12]}: lies in region {kept} alone; {'; '.join(wrong.values())}; run the same again"
            )
        return card

    def verify(self, *, repair: bool) -> list[Row]:
        """Every copy read whole. `repair`: what is missing or spoiled in one region is put there from the other, and read back. Raises ReleasesDown where
        neither region lists anything."""
        rows, silent = self.rows()
        if len(silent) == len(SITES):
            raise ReleasesDown("; ".join(silent.values()))
        return [self._looked_at(row, repair=repair) for row in rows]

    def one(self, name: str) -> tuple[Row, bytes | None]:
        """The release whose digest begins so, both its copies read whole, and one that is well. Raises Usage where there is not one of that name."""
        rows, silent = self.rows()
        found = [row for row in rows if row.digest.startswith(name)]
        if len(found) != 1:
            there = f"{len(found)} that begin so" if found else "none that begins so"
            told = "".join(f"; {why}" for why in silent.values())
            raise Usage(
                f"release {shown(name)}: found {there} in the buckets, wanted one (`drctl releases list`; `drctl releases push FILE` puts it there){told}; "
                "nothing was changed; name it by more of its digest"
            )
        states, body = self._read(found[0])
        return replace(found[0], states=states), body

    def files(self, digest: str) -> frozenset[str]:
        """Names of a release's files; none where it lies in no bucket, or nowhere well."""
        return frozenset(self._within(digest, lambda path, most: artefact.peek(path, most).files) or ())

    def texts(self, digest: str, names: Collection[str]) -> dict[str, str]:
        """What these files of a release say; none where it lies in no bucket, or nowhere well."""
        return self._within(digest, lambda path, most: artefact.texts(path, most, names)) or {}

    def _within(self, digest: str, look: Callable[[Path, int], T]) -> T | None:
        """Into the first copy that is well."""
        for bucket in self.buckets.values():
            with suppress(Failed), TemporaryDirectory(prefix="drctl-") as folder:
                if body := bucket.artefact(digest):
                    path = Path(folder) / "release"
                    path.write_bytes(body)
                    return look(path, self._most_mb * 2**20)
        return None

    def _read(self, row: Row) -> tuple[dict[str, str], bytes | None]:
        states, body = dict(row.states), None
        for site in SITES:
            if states[site] != "there":
                continue
            try:
                found = self.buckets[site].artefact(row.digest)
                states[site] = MISSING if found is None else WELL
                body = found or body
            except ReleasesDown:
                states[site] = UNKNOWN
            except Failed:
                states[site] = SPOILED
        return states, body

    def _looked_at(self, row: Row, *, repair: bool) -> Row:
        states, body = self._read(row)
        if repair and body is not None and row.card is not None:
            for site in (it for it in SITES if states[it] in (MISSING, SPOILED)):
                try:
                    self.buckets[site].put(row.card, body)
                    states[site] = WELL
                except Failed:
                    continue
        return replace(row, states=states)

    def _each(self, ask: Callable[[ReleaseBucket], T]) -> dict[str, T | DrError]:
        """Both at once: a region that is silent takes its time."""

        def one(bucket: ReleaseBucket) -> T | DrError:
            try:
                return ask(bucket)
            except DrError as error:
                return error

        with ThreadPoolExecutor(len(SITES)) as pool:
            return dict(zip(self.buckets, pool.map(one, self.buckets.values()), strict=True))


def _told(path: Path, most_mb: int) -> tuple[Card, bytes]:
    """An artefact with its card; without one it gets what its manifest says. Raises Usage."""
    try:
        told = artefact.peek(path, most_mb * 2**20)
        body = path.read_bytes()
        digest = artefact.sha256(path)
    except OSError as error:
        raise Usage(
            f"file {path}: cannot be read ({error.strerror}), wanted a release of `drctl build`; nothing was put anywhere; name it"
        ) from None
    try:
        card = release.card(card_file(path).read_bytes(), f"card {card_file(path).name}")
    except OSError:
        card = None
    if card is not None and card.digest != digest:
        raise Usage(
            f"file {path}: has SHA-256 {digest[:12]}, wanted {card.digest[:12]}, which its card says; nothing was put anywhere; build it again"
        )
    facts = {name: getattr(told, name) for name in vars(told) if name not in ("files", "format")}
    return card or Card(**facts, digest=digest, bytes=len(body), unpacked=told.size, count=len(told.files)), body
