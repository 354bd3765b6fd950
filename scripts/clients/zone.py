"""What a link asks of whoever serves the shop's domain: the address records of one name, changed one by one."""

from __future__ import annotations

from typing import Protocol, TypedDict


class Record(TypedDict):
    """One A record of the name."""

    id: int
    target: str  # IPv4 address
    ttl: int  # seconds


class Zone(Protocol):
    """The A records of one name. Nothing that is changed is served before `refresh`. Everything raises Failed."""

    def records(self) -> list[Record]:
        """Those that there are now."""

    def create(self, target: str, ttl: int) -> None:
        """One more."""

    def change(self, number: int, target: str, ttl: int) -> None:
        """One in place, so that the name is never without it."""

    def remove(self, number: int) -> None:
        """One less."""

    def refresh(self) -> None:
        """Have the name servers serve what the records say."""
