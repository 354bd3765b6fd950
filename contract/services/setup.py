"""What every host has whatever its role: what `host converge` is told."""

from __future__ import annotations

from collections.abc import Iterator

from ..buckets import Bucket
from ..checks import boolean, listing, text
from ..dataclass import dataclass
from ..fields import Contradiction, key, part
from ..lease import Lease
from ..ssh_keys import PUBLIC, REVOKED
from .certificate import Certificate


@dataclass(frozen=True, kw_only=True)
class Block:
    """Its place in the document is `setup`: the service's own name is taken by the envelope."""

    packages: tuple[str, ...] = key(
        listing(text(r"[a-z0-9][a-z0-9+.-]+", "the name of a Debian package")),
        "packages that must be there",
        default=(),
    )
    witness: Bucket | None = part(
        Bucket,
        "the witness bucket, with the key of the site's hosts of this kind; null: it asks nothing there",
        optional=True,
    )
    lease: Lease | None = part(Lease, "of a host whose agent keeps one; null: no agent", optional=True)
    hardened: bool = key(
        boolean,
        "whether ssh, the platform's metadata service and security updates are held to what hosts of the pair need",
        default=False,
    )
    ssh_operators: tuple[str, ...] = key(
        listing(PUBLIC),
        "public keys of the program itself, which open root beside the one of the first boot; two while it is rotated",
        default=(),
    )
    ssh_authorities: tuple[str, ...] = key(
        listing(PUBLIC),
        "public keys of the CAs whose ssh certificates open root; none: no certificate does",
        default=(),
    )
    ssh_revoked: tuple[str, ...] = key(listing(REVOKED), "keys and certificates of ssh that open nothing", default=())
    signed_in: bool = key(
        boolean,
        "whether what sshd says of people who sign in here is kept at the witness, by a job that runs each minute",
        default=False,
    )

    certificate: Certificate | None = part(
        Certificate,
        "the shop's certificate, on hosts that order it or show it, where an ACME CA issues it; null: it is ordered by nobody",
        optional=True,
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """A lease is kept at the witness, and so is who has signed in."""
        if self.lease is not None and self.witness is None:
            yield Contradiction(
                "witness", "nothing", "the witness bucket", "its agent could keep no lease", "correct the document"
            )
        if self.certificate is not None and self.witness is None:
            yield Contradiction(
                "witness",
                "nothing",
                "the witness bucket",
                "the shop's certificate could be handed over nowhere",
                "correct the document",
            )
        if self.signed_in and self.witness is None:
            yield Contradiction(
                "witness", "nothing", "the witness bucket", "sign-ins could be kept nowhere", "correct the document"
            )
