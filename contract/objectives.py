"""What an installation has promised of its moves, and whose signatures count in the records of them: `dr:reports`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .checks import integer, listing, mapping, optional
from .dataclass import dataclass
from .fields import Contradiction, key
from .ssh_keys import PUBLIC

PROGRAM = "drctl"  # who signs with the program's own key, in place of a person's name
DRILL_DAYS = 90


@dataclass(frozen=True, kw_only=True)
class Reports:
    """`dr:reports`: what is promised of a move, and who signs the records of moves, drills, deploys and rotations (docs/reports.md)."""

    rto_s: int | None = key(
        optional(integer(1, 999_999)),
        "how long a move may take, from the operator's agreement until an order has proven the other region; absent: not declared",
        default=None,
        unit="s",
        why="no record can say whether it was kept",
    )
    rpo_s: int | None = key(
        optional(integer(0, 999_999)),
        "how many seconds of writes a move may lose; absent: not declared. What refuses a move is `dr:loss_budget`",
        default=None,
        unit="s",
        why="no record can say whether it was kept",
    )
    drill_days: int = key(
        integer(1, 3650),
        "how old the newest recorded drill or move may be before `drill.age` warns, and the newest rehearsal of certificates before `certs.rehearsed` does",
        default=DRILL_DAYS,
        unit="d",
        why="nobody is told that the last rehearsal is long ago",
    )
    signers: Mapping[str, str] = key(
        mapping(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", PUBLIC),
        "public keys of those who sign records off, by the names under which the trail knows them. Who leaves stays listed: what they have signed "
        "would not verify any more",
        default={},
        why="nobody could sign a record off",
        fix="name each as in `alice: ssh-ed25519 AAAA...`",
    )  # fmt: skip
    former: tuple[str, ...] = key(
        listing(PUBLIC),
        "public keys that the program had before: it signs records with ssh.operator of `dr:secrets`, and those of before a rotation still verify",
        default=(),
        why="records of before a rotation would not verify",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """A name that is the program's, and a key that is two persons'."""
        if PROGRAM in self.signers:
            yield Contradiction(
                f"signers.{PROGRAM}",
                "a person's name",
                "another name: this one is the program's",
                "a person's signature could not be told from the program's",
                "name the person as the audit trail does",
            )
        names = {public: name for name, public in self.signers.items()}
        for name, public in self.signers.items():
            if names[public] != name:
                yield Contradiction(
                    f"signers.{name}",
                    f"the key of {names[public]}",
                    "a key of that person's own",
                    "one person could sign off what the other has run",
                    "`ssh-keygen -t ed25519` makes one",
                )
