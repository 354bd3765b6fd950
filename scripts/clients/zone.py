"""What a link asks of whoever serves the shop's domain: the records of one name, its addresses changed one by one."""

from __future__ import annotations

from typing import Protocol, TypedDict

from contract.errors import Failed


class Record(TypedDict):
    """One record of the name, of any type."""

    id: int
    kind: str  # "A", "AAAA", "CNAME" ...
    target: str  # of an A record its IPv4 address
    ttl: int  # seconds


class Gone(Failed):
    """The record was there a moment ago, and somebody has removed it since."""


class Zone(Protocol):
    """The records of one name. Nothing that is changed is served before `refresh`. Everything raises Failed."""

    def records(self) -> list[Record]:
        """Those that there are now, of every type."""

    def create(self, target: str, ttl: int) -> None:
        """One more A record."""

    def change(self, number: int, target: str, ttl: int) -> None:
        """One in place, so that the name is never without it. Raises Gone."""

    def remove(self, number: int) -> None:
        """One less; none, where it is gone already."""

    def refresh(self) -> None:
        """Have the name servers serve what the records say."""
