"""What is known of both sides: manifest and journal of one pair of buckets, in one SQLite file.

A row says: this version at the source and this one at the target were seen to be the same. Rows are a cache of what the two stores tell, so a lost
file costs requests, never objects; what a killed run had not written down yet is found again by looking at both sides.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from contract.errors import Failed, Refused

from .listing import Entry

SCHEMA = 1
BATCH = 500
CHUNK = 1000  # rows read at once
END = b"\xff" * 1025  # after every key: they have 1,024 bytes at most
FLUSH_S = 0.5
TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pairs (
    key BLOB PRIMARY KEY, size INTEGER, source_etag TEXT, source_time TEXT, target_etag TEXT, target_time TEXT, digest TEXT,
    missing_runs INTEGER DEFAULT 0, missing_since REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (key BLOB PRIMARY KEY, source_etag TEXT, part_size INTEGER, upload TEXT, started REAL) WITHOUT ROWID;
"""
ROWS = """
SELECT json_group_array(json_array(hex(key), size, source_etag, source_time, target_etag, target_time, digest, missing_runs, missing_since))
FROM (SELECT * FROM pairs WHERE key > ? AND key <= ? ORDER BY key LIMIT ?)
"""
UPSERT = "INSERT OR REPLACE INTO pairs (key, size, source_etag, source_time, target_etag, target_time, digest) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Row(NamedTuple):
    """One pair. `target_time` is empty until a listing has shown it."""

    key: bytes
    size: int
    source_etag: str
    source_time: str
    target_etag: str
    target_time: str
    digest: str
    missing_runs: int = 0
    missing_since: float | None = None


class Upload(NamedTuple):
    """A multipart upload that was begun. `upload` is empty between the intention and the store's answer."""

    key: bytes
    source_etag: str
    part_size: int
    upload: str
    started: float


class State:
    """One run's hold on the file: a second run on the same folder is refused. Safe to use from several threads."""

    def __init__(self, folder: Path, pair: str) -> None:
        """`pair` names both buckets: a file of another pair is refused."""
        self._path = folder / "state.db"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._hold = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Failed(
                f"state folder {folder}: cannot be written ({error.strerror}); name another one in `state_dir`"
            ) from None
        try:
            fcntl.flock(self._hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._hold)
            raise Refused(
                f"state folder {folder}: another run is at work in it, wanted one at a time; nothing was changed, wait for it to end"
            ) from None
        self._lock = threading.RLock()
        self._fresh: dict[bytes, Row] = {}
        self._flushed = time.monotonic()
        self._readers: list[sqlite3.Connection] = []
        try:
            self._db = self._open()
            self._check(pair)
        except sqlite3.DatabaseError as error:
            os.close(self._hold)
            raise self._broken(error) from None
        except Failed:
            self._db.close()
            os.close(self._hold)
            raise

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA cache_size=-8192")
        return db

    def _check(self, pair: str) -> None:
        self._path.chmod(0o600)
        self._db.executescript(TABLES)
        found = dict(self._db.execute("SELECT name, value FROM about"))
        wanted = {"schema": str(SCHEMA), "pair": pair}
        if found and found != wanted:
            raise Failed(
                f"state file {self._path}: belongs to {found.get('pair')} (schema {found.get('schema')}), wanted {pair}; nothing was changed, "
                "give every direction its own `state_dir`"
            )
        self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", wanted.items())

    def _broken(self, error: sqlite3.Error) -> Failed:
        return Failed(
            f"state file {self._path}: cannot be read or written ({error}), wanted an intact SQLite file; nothing was deleted and no object is lost: "
            "move it away, the next run compares both sides afresh"
        )

    def close(self) -> None:
        """Write down what is left and let go."""
        try:
            self.flush()
        finally:
            for reader in self._readers:
                reader.close()
            self._db.close()
            os.close(self._hold)

    # --- what was found out about the stores

    def fact(self, name: str) -> str | None:
        found = self._ask("SELECT value FROM facts WHERE name = ?", name)
        return str(found[0][0]) if found else None

    def set_fact(self, name: str, value: str) -> None:
        self._ask("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, value)

    # --- pairs

    def known(self) -> int:
        """Number of pairs."""
        return int(self._ask("SELECT count(*) FROM pairs")[0][0])

    def copied(self) -> int:
        """Number of pairs that a copier made, or saw to be the same: not what only the target had."""
        self.flush()
        return int(self._ask("SELECT count(*) FROM pairs WHERE source_etag <> ''")[0][0])

    def bounds(self, shards: int, step: int = 1) -> list[bytes]:
        """Last keys of `shards` ranges of about the same number of known ones, a multiple of `step` where there are as many; the last range is open."""
        count = self.known()
        places = [count * number // shards for number in range(1, shards)]
        places = [place // step * step or place for place in places]
        keys = [
            self._ask("SELECT key FROM pairs ORDER BY key LIMIT 1 OFFSET ?", place - 1) for place in places if place
        ]
        return [bytes(found[0][0]) for found in keys if found]

    def rows(self, after: bytes = b"", until: bytes | None = None) -> Iterator[Row]:
        """Pairs with after < key <= until in byte order, as of now."""
        self.flush()
        try:
            reader = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            self._readers.append(reader)
            reader.execute("BEGIN")
            while True:
                # The module lets other threads in at each row it fetches, which costs more than the row.
                found = sorted(
                    json.loads(reader.execute(ROWS, (after, END if until is None else until, CHUNK)).fetchone()[0])
                )
                for key, *others in found:
                    yield Row(bytes.fromhex(key), *others)
                if len(found) < CHUNK:
                    reader.execute("COMMIT")
                    return
                after = bytes.fromhex(found[-1][0])
        except sqlite3.DatabaseError as error:
            raise self._broken(error) from None

    def record(self, source: Entry, target: Entry | None, target_etag: str, digest: str) -> None:
        """Both sides are the same now. `target`: as listed, None when it was written just now."""
        row = Row(source.key, source.size, source.etag, source.time, target_etag, target.time if target else "", digest)
        with self._lock:
            self._fresh[source.key] = row
            if len(self._fresh) >= BATCH or time.monotonic() - self._flushed > FLUSH_S:
                self.flush()

    def missing(self, key: bytes, since: float) -> None:
        """One more complete listing of the source without this key."""
        self._ask(
            "UPDATE pairs SET missing_runs = missing_runs + 1, missing_since = coalesce(missing_since, ?) WHERE key = ?",
            since,
            key,
        )

    def forget(self, key: bytes) -> None:
        """The pair is gone on both sides, or no pair any more."""
        with self._lock:
            self._fresh.pop(key, None)
            self._ask("DELETE FROM pairs WHERE key = ?", key)

    def flush(self) -> None:
        """Write down what was recorded: after this a kill costs nothing."""
        with self._lock:
            self._flushed = time.monotonic()
            if not self._fresh:
                return
            rows = [row[:7] for row in self._fresh.values()]
            try:
                self._db.execute("BEGIN")
                self._db.executemany(UPSERT, rows)
                self._db.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                raise self._broken(error) from None
            self._fresh.clear()

    # --- multipart uploads

    def upload(self, key: bytes) -> Upload | None:
        """The upload of this key that was begun and not ended."""
        found = self._ask("SELECT * FROM uploads WHERE key = ?", key)
        return Upload(*found[0]) if found else None

    def uploads(self) -> list[Upload]:
        return [Upload(*row) for row in self._ask("SELECT * FROM uploads ORDER BY key")]

    def begin_upload(self, upload: Upload) -> None:
        """Written before the store is asked, and again with the store's answer: a kill in between leaves a trace."""
        self._ask("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?)", *upload)

    def end_upload(self, key: bytes) -> None:
        self._ask("DELETE FROM uploads WHERE key = ?", key)

    def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise self._broken(error) from None
