"""The primary's slot that keeps WAL for its standby: made where it lacks, and made again where it has lost its WAL."""

from __future__ import annotations

from collections.abc import Callable

from ..frame.log import Log
from .layout import SLOT

GOOD = "good"
LOOKS = 3  # a promotion, or a standby that begins a copy, makes its slot itself, within less than this

SEEN = f"""select case when pg_is_in_recovery() then '{GOOD}' else coalesce(
  (select case when wal_status = 'lost' then 'one that has lost its WAL' else '{GOOD}' end from pg_replication_slots where slot_name = '{SLOT}'),
  'none') end"""  # noqa: S608 - words of ours

ENSURE = f"""select pg_drop_replication_slot(slot_name) from pg_replication_slots
  where slot_name = '{SLOT}' and not active and (wal_status = 'lost' or restart_lsn is null);
select pg_create_physical_replication_slot('{SLOT}', true) where not exists (select from pg_replication_slots where slot_name = '{SLOT}')"""  # noqa: S608


class Slots:
    """The agent's watch over it, one look with each beat. A standby without its slot asks for ever, whatever WAL is still here."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._looks, self._failed = 0, False

    def look(self, ask: Callable[[str], str | None]) -> None:
        """`ask`: one SQL query to the local server, its last value; None when there was none."""
        found = ask(SEEN)
        if found in (None, GOOD):
            self._looks, self._failed = 0, False
            return
        self._looks += 1
        if self._looks < LOOKS:
            return
        self._looks = 0
        if ask(ENSURE) is not None:
            self._log.warning(f"slot {SLOT}: found {found}, wanted one that keeps WAL for the standby; made it anew")
        elif not self._failed:
            self._failed = True  # said once, tried on
            self._log.error(
                f"slot {SLOT}: found {found}, wanted one that keeps WAL for the standby; it cannot be made, so the standby does not stream; "
                "see the server's log, and whether max_replication_slots are in use"
            )
