"""Keys of the witness's users while they are rotated: made and deleted at the platform, seen known and seen refused at the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from contract.buckets import Bucket
from contract.dataclass import dataclass
from contract.errors import Failed, Partial, Refused
from contract.witness import OPERATOR
from scripts.clients.bucket_rules import RuledBucket
from scripts.ctl.beginning.account import Third
from scripts.ctl.stacks.rotation import Secrets

KNOWN_S, LOOK_S = 120.0, 2.0  # until a store goes by what the platform has made or deleted, and between two looks
Keys = Mapping[str, Any]  # {"access_key", "secret_key"}


@dataclass(frozen=True, kw_only=True)
class WitnessKeys:
    """`place`: the bucket, with whichever key; `third`: where its users are, each time with as long to answer."""

    third: Callable[[], Third]
    place: Callable[[Keys], Bucket]
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep

    def owners(self, found: Secrets, third: Third | None = None) -> dict[str, int]:
        """The user at the platform by each name of ours. Raises Failed, Refused where one is not there, or is two of ours: its keys could not be told apart."""
        third = third or self.third()
        there, owners, of = third.owners(), dict[str, int](), dict[int, str]()
        for user, keys in _users(found["witness"]):
            number = there.get(keys["access_key"])
            if number is None:
                raise Refused(
                    f"witness: no user of project {third.project} has the key of {user} that is in use, wanted its user there, for which another key is "
                    "made; no key was changed; name the project of the witness's users with --project"
                )
            first = of.setdefault(number, user)
            if first != user:
                raise Refused(
                    f"witness: {first} and {user} have keys of one user ({number}) of project {third.project}, wanted a user for each: a host of one "
                    "does what the other may; no key was changed; make users with the policies that `drctl rights witness` prints (docs/security.md)"
                )
            owners[user] = number
        return owners

    def made(self, found: Secrets) -> Secrets:
        """One more key of each user. A run that is killed behind it leaves keys that nobody knows, and `end` deletes them. Raises Failed, also where one that
        came is another user's: a host would be what that one is, by the operator's even whoever says which region is active.
        """
        third = self.third()
        owners = self.owners(found, third)
        made = {user: third.another_key(number) for user, number in owners.items()}
        there = third.owners()
        for user, number in owners.items():
            whose = there.get(made[user]["access_key"], number)  # one that is not listed yet is waited for at the store
            if whose != number or [it["access_key"] for it in made.values()].count(made[user]["access_key"]) > 1:
                raise Failed(
                    f"new key of {user}: is one of user {whose} of project {third.project}, wanted a key of user {number} that no other name has; nothing "
                    "shows it, and what was in use is in use; see what answers in the place of the API, and run the same again"
                )
        return {**made.pop(OPERATOR), "hosts": made}

    def wait_for(self, part: Secrets) -> None:
        """Raises Partial where the store does not know one of them in time."""
        for user, keys in _users(part):
            self._wait(
                RuledBucket(self.place(keys)),
                True,
                f"new key of {user}: is not known to the witness after {KNOWN_S:.0f} s, wanted it to be; the one before is in use and good; run the same "
                "again, which goes on",
            )

    def end(self, found: Secrets, part: Secrets) -> None:
        """Raises Failed, Partial where the store takes an old one yet."""
        used, third = {keys["access_key"] for _, keys in _users(found["witness"])}, self.third()
        for number in self.owners(found, third).values():
            for access in third.keys_of(number):
                if access not in used:
                    third.remove_key(number, access)
        for user, keys in _users(part):
            self._wait(
                RuledBucket(self.place(keys)),
                False,
                f"old key of {user}: is deleted at the platform, and the witness takes it after {KNOWN_S:.0f} s yet, wanted it refused; the new one is in use; "
                "run the same again, and ask the platform's support where that stays so",
            )

    def _wait(self, bucket: RuledBucket, known: bool, otherwise: str) -> None:
        end = self.clock() + KNOWN_S
        while bucket.reachable() is not known:
            if self.clock() > end:
                raise Partial(otherwise)
            self.rest(LOOK_S)


def _users(part: Mapping[str, Any]) -> Iterator[tuple[str, Keys]]:
    """Of a part `witness`, the operator first."""
    yield OPERATOR, part
    yield from part["hosts"].items()
