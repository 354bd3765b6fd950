"""`dr-host app place`: a release comes to this host, whole and as its manifest lists it, or not at all.

It arrives as a file that was copied here, or is fetched from the own region's bucket, or from the other's where that one is silent or holds another
file than its name says. It is unpacked beside the others and appears at once. Which one runs is `app converge`'s to say.
"""

from __future__ import annotations

import os
import shutil
import time
import urllib.parse
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from contract import artefact, release
from contract.buckets import Bucket
from contract.errors import Failed, Refused, say
from contract.limits import FETCH_S
from contract.plain import phrase
from contract.release import MANIFEST, RELEASES, SPARE, SUFFIX, UPLOADS, Place
from contract.wire.http1 import Connection, ProtocolError
from contract.wire.sigv4 import Signer, encode_key

from ..frame.call import Call
from ..frame.desired import read
from ..frame.files import make_folder, sync_folder
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.result import Result
from ..frame.witness import public_tls

WAIT_S = 20.0  # for a connection, and for each piece of an answer
PIECE = 1 << 20
CURRENT = "/opt/shop/current"


def place(call: Call) -> Result:
    """Verb `place`. Raises Refused, Failed; a release that is here stays as it is."""
    _, block = read(call.document, "release", Place, with_epoch=False)
    found = Placing(block, call.layout, call.log)
    changed = found.bring()
    return Result({"release": f"{RELEASES}/{block.digest}", "removed": found.prune()}, changed)


class Placing:
    """One release, on this host."""

    def __init__(self, block: Place, layout: Layout, log: Log) -> None:
        self._block, self._layout, self._log = block, layout, log
        self._folder = layout.at(f"{RELEASES}/{block.digest}")
        self._archive = layout.at(f"{UPLOADS}/{block.digest}{SUFFIX}")
        self._most = block.most_mb * 2**20

    def bring(self) -> bool:
        """Whether it was not here before. What a killed run has left is begun anew."""
        if self._folder.is_dir():
            return False
        make_folder(self._folder.parent)
        partial = self._folder.with_name(f"{self._folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        if not self._arrived():
            self._fetch()
        try:
            told = artefact.peek(self._archive, self._most)
            self._room(told.size, self._folder.parent)
            artefact.unpack(self._archive, partial, self._most)
        except (OSError, Failed):
            shutil.rmtree(partial, ignore_errors=True)
            raise
        partial.rename(self._folder)
        sync_folder(self._folder.parent)
        if self._block.own is not None:  # it can be fetched again; a copy cannot, for the stack takes it to be here
            self._archive.unlink(missing_ok=True)
        self._log.info(f"release {self._block.digest[:12]}: {len(told.files)} files, each as its manifest lists it")
        return True

    def _arrived(self) -> bool:
        """Whether the artefact itself is here, of an earlier run."""
        try:
            return artefact.sha256(self._archive) == self._block.digest
        except OSError:
            return False

    def _fetch(self) -> None:
        """Raises Failed where it is nowhere to be had."""
        buckets = [it for it in (self._block.own, self._block.peer) if it is not None]
        wrong = [] if buckets else ["what was copied here is not that file, or not whole"]
        for bucket in buckets:
            try:
                self._take(bucket)
            except (Failed, OSError, ProtocolError, ValueError) as error:
                why = phrase(getattr(error, "strerror", None) or str(error) or type(error).__name__, 300)
                wrong.append(f"bucket {bucket.bucket}: {why}")
                self._log.warning(f"release {self._block.digest[:12]}: {wrong[-1]}; the next place is asked")
            else:
                return
        raise self._nowhere(wrong)

    def _nowhere(self, wrong: list[str]) -> Failed:
        return Failed(
            say(
                subject=f"release {self._block.digest}",
                found="; ".join(wrong),
                wanted="the file with this SHA-256",
                consequence="the release that runs stays",
                remedy="run `drctl releases verify`, put it there with `drctl releases push FILE`, and run the same again",
            )
        )

    def _take(self, bucket: Bucket) -> None:
        """From one bucket, beside its place until it is known to be whole."""
        partial = self._archive.with_name(f"{self._archive.name}.partial")
        make_folder(partial.parent)
        try:
            with partial.open("wb") as out:
                digest = self._read(bucket, out)
                out.flush()
                os.fsync(out.fileno())
            if digest != self._block.digest:
                raise Failed(f"holds a file with SHA-256 {digest[:12]}... under this name")
            partial.replace(self._archive)
        finally:
            partial.unlink(missing_ok=True)

    def _read(self, bucket: Bucket, out: BinaryIO) -> str:
        base = urllib.parse.urlsplit(bucket.endpoint)
        secure, name = base.scheme == "https", base.hostname or ""
        path = encode_key(f"{base.path.rstrip('/')}/{bucket.bucket}/{release.object_of(self._block.digest)}".encode())
        headers = {"host": base.netloc.rpartition("@")[2], "connection": "close"}
        Signer(bucket.access_key, bucket.secret_key, bucket.region).sign(
            "GET", path, "", headers, payload=sha256(b"").hexdigest()
        )
        digest, left = sha256(), self._most
        line = Connection(
            name,
            base.port or (443 if secure else 80),
            public_tls() if secure else None,
            connect_s=WAIT_S,
            timeout_s=WAIT_S,
        )
        with closing(line) as connection:
            answer = connection.request("GET", path, headers, None, until=time.monotonic() + FETCH_S)
            if answer.status != 200:
                raise Failed(f"answered {answer.status}")
            if answer.length is not None:
                self._room(answer.length, self._archive.parent)
            while piece := answer.read(PIECE):
                left -= len(piece)
                if left < 0:
                    raise Failed(f"holds a file of more than {self._block.most_mb} MB (dr:app.release_max_mb)")
                digest.update(piece)
                out.write(piece)
            if not answer.done:
                raise Failed("ended before the file did")
        return digest.hexdigest()

    def _room(self, wanted: int, folder: Path) -> None:
        """Raises Refused."""
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        if free < wanted + SPARE:
            raise Refused(
                say(
                    subject=f"disk of {folder}",
                    found=f"{free / 2**20:.0f} MB free",
                    wanted=f"{(wanted + SPARE) / 2**20:.0f} MB for release {self._block.digest[:12]} and what else is written here",
                    consequence="nothing was unpacked, and the release that runs stays",
                    remedy="lower dr:app.releases_kept, or free the disk, and run the same again",
                )
            )

    def prune(self) -> int:
        """Remove older releases but the newest, the wanted one and the one that runs, and archives of others. Returns how many releases went."""
        current = self._layout.at(CURRENT)
        runs = current.readlink().name if current.is_symlink() else ""
        stays = {self._block.digest, runs}
        try:
            rows = [
                (it.stat().st_mtime, it) for it in self._folder.parent.iterdir() if it.is_dir() and not it.is_symlink()
            ]
        except OSError:
            return 0
        whole = sorted(((at, it) for at, it in rows if it.suffix != ".partial"), reverse=True)
        others = [it for _, it in whole if it.name not in stays]
        gone = others[max(self._block.kept - len(stays & {it.name for _, it in whole}), 0) :]
        for each in gone:
            # By another name first: half of one must not be taken for a release.
            moved = each.with_name(f"{each.name}.partial")
            shutil.rmtree(moved, ignore_errors=True)
            each.rename(moved)
            shutil.rmtree(moved, ignore_errors=True)
        for each in self._archive.parent.glob(f"*{SUFFIX}*"):
            if each != self._archive:
                each.unlink(missing_ok=True)
        return len(gone)


def check_placed(folder: Path) -> None:
    """Before a release runs: that its files are still as its manifest lists them. One of an older version has no manifest. Raises Failed."""
    wrong = artefact.differing(folder) if (folder / MANIFEST).exists() else []
    if wrong:
        raise Failed(
            say(
                subject=f"release {folder.name}",
                found=f"{len(wrong)} files that are not as its manifest lists them, {wrong[0]!r} the first",
                wanted="what was built",
                consequence="the release that runs stays",
                remedy=f"see who has changed it, remove {folder}, raise dr:repair and run the same again",
            )
        )
