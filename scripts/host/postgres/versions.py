"""The PostgreSQL versions that this software knows, and what differs between them. Nothing else in it compares version numbers."""

from __future__ import annotations

from contract.dataclass import dataclass


@dataclass(frozen=True)
class Version:
    """Features, each with the version that brought it."""

    number: int
    rewind_config_file: bool = (
        True  # pg_rewind takes --config-file (15): Debian's configuration is outside the data directory
    )
    rewind_reads_history: bool = (
        True  # pg_rewind goes by the timeline history (16); before, the source must have done a checkpoint
    )
    builtin_locale: bool = True  # initdb knows a locale provider that no system update changes (17)
    failover_slots: bool = (
        True  # logical slots are kept on the standby (17): sync_replication_slots, synchronized_standby_slots
    )
    idle_slots_expire: bool = True  # idle_replication_slot_timeout (18)
    transaction_timeout: bool = True  # a limit for whole transactions (17)
    walsender_sql: bool = (
        True  # a replication connection takes any SQL (15); before, its own scanner reads the text first
    )
    database_collations: bool = True  # pg_database says by which library version its indexes were sorted (15)


VERSIONS = {
    14: Version(
        14,
        rewind_config_file=False,
        rewind_reads_history=False,
        builtin_locale=False,
        failover_slots=False,
        idle_slots_expire=False,
        transaction_timeout=False,
        walsender_sql=False,
        database_collations=False,
    ),
    15: Version(
        15,
        rewind_reads_history=False,
        builtin_locale=False,
        failover_slots=False,
        idle_slots_expire=False,
        transaction_timeout=False,
    ),
    16: Version(16, builtin_locale=False, failover_slots=False, idle_slots_expire=False, transaction_timeout=False),
    17: Version(17, idle_slots_expire=False),
    18: Version(18),
}
