"""What hosts have put at the witness of who has signed in to them (`contract/authlog.py`), as the operator reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from contract.authlog import named, prefix
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.wire import s3
from scripts.clients.witness_bucket import WitnessBucket, age

AT_ONCE, PIECE = 8, 64  # requests, and objects after which it is seen whether to go on
MOST_OBJECTS, MOST_READ = 20_000, 2**27  # of one host: whoever owns it puts what it likes


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Of one host, from some time on. `age_s`: of the newest, by the store's clock, None where there is none.

    `breaks`: what the store itself says is wrong with them.
    """

    objects: tuple[tuple[str, bytes], ...]
    age_s: float | None
    breaks: tuple[str, ...]


class LoginBucket(WitnessBucket):
    """The witness, and what hosts have told it of people who sign in."""

    def kept(self, site: str, host: str, since: str) -> Kept:
        """Objects of a host that were made from `since` on (20261129T085512Z), and the newest one before; the newest of them where there are too many.

        Raises Failed.
        """
        own = prefix(site, host)
        listed = self._list(f"list {own}", {"list-type": "2", "prefix": own}, s3.OBJECTS)
        before = [it for it in listed if it < f"{own}{since}"]
        wanted = [*before[-1:], *listed[len(before) :]]
        marks = {"versions": "", "prefix": own, **({"key-marker": before[-1]} if before else {})}
        versions = self._list(f"list the versions of {own}", marks, s3.VERSIONS)
        breaks = [f"{it}: was removed: older versions of it are there" for it in sorted(set(versions) - set(listed))]
        breaks += [
            f"{it}: was written over: there are {count} versions"
            for it in sorted(set(versions))
            if (count := versions.count(it)) > 1
        ]
        if len(wanted) > MOST_OBJECTS:
            breaks.append(
                f"{own}: found {len(wanted)} objects, wanted {MOST_OBJECTS} at most; only the newest were read"
            )
        objects, ages = list[tuple[str, bytes]](), list[float]()
        for key, found in self._all(wanted[-MOST_OBJECTS:], breaks):
            if isinstance(found, Failed):
                breaks.append(str(found))
                continue
            body, stored_s = found
            objects.append((key, body))
            ages += [] if stored_s is None else [stored_s]
        return Kept(objects=tuple(objects), age_s=min(ages, default=None), breaks=tuple(breaks))

    def _all(self, keys: Sequence[str], breaks: list[str]) -> Iterator[tuple[str, tuple[bytes, float | None] | Failed]]:
        """Piece by piece, the newest first, until there is too much of it or nothing is handed out any more."""
        left, size = list(reversed(keys)), 0
        with ThreadPoolExecutor(max_workers=AT_ONCE) as together:
            while left:
                piece, left = left[:PIECE], left[PIECE:]
                found = list(together.map(self._one, piece))
                yield from zip(piece, found, strict=True)
                size += sum(len(it[0]) for it in found if not isinstance(it, Failed))
                silent = all(isinstance(it, Failed) for it in found)
                if left and (silent or size > MOST_READ):
                    why = "the store hands out none of them" if silent else f"they are more than {MOST_READ} bytes"
                    breaks.append(f"{left[0]}: it and {len(left) - 1} older ones were not read, because {why}")
                    return

    def _one(self, key: str) -> tuple[bytes, float | None] | Failed:
        """One that cannot be read is told, and those behind it may be well."""
        try:
            found = self._read(key) if named(key) else None
        except Failed as error:
            return error
        if found is None:
            return b"", None
        return found.body, age(found)
