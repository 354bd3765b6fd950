"""What every session of this software sets for itself, whatever the server, the database or the role would have it be.

A time limit that is meant for the shop would end a promotion half way, and read-only transactions what comes after it; a search path with
somebody's functions in it would answer in the server's place. Names in SQL are those of `pg_catalog`, others are written out.
"""

from __future__ import annotations

from .versions import VERSIONS

_ALWAYS = {
    "synchronous_commit": "local",  # a synchronous standby may be what is missing
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_read_only": "off",
    "search_path": "pg_catalog",
    "role": "none",  # itself, whatever the database or the role would make of it
    "local_preload_libraries": "",
}


def options(version: int | None) -> str:
    """libpq's `options` for a server of this version; None: of one that is not known, without what older ones refuse."""
    known = version is not None and VERSIONS[version].transaction_timeout
    return " ".join(
        f"-c {name}={value}" for name, value in {**_ALWAYS, **({"transaction_timeout": "0"} if known else {})}.items()
    )
