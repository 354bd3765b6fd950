"""Runs on a database host of the lab: every 100 ms, does this database take writes? One JSON line a sample. Standard library and psycopg.

A file of its own: it is copied to the host and started as a unit there, so that it also sees what happens while nobody can log in, and
right after a boot. `{"t": wall clock, "writer": true | false, "timeline": n | null}`; false is also a database that does not answer.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

EVERY_S = 0.1
QUERY = "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off', timeline_id from pg_control_checkpoint()"


def main(path: str) -> None:
    """Until it is killed."""
    import psycopg  # noqa: PLC0415 - the hosts have it, the machine that imports this file for its text need not

    connection: Any = None
    with Path(path).open("a", buffering=1) as out:
        while True:
            began = time.time()
            writer, timeline = False, None
            try:
                if connection is None:
                    connection = psycopg.connect(
                        "dbname=postgres user=postgres application_name=lab_sampler connect_timeout=2", autocommit=True
                    )
                    connection.execute("set statement_timeout = '1s'")
                writer, timeline = connection.execute(QUERY).fetchone()
            except psycopg.Error:
                connection = None
            out.write(json.dumps({"t": began, "writer": bool(writer), "timeline": timeline}) + "\n")
            time.sleep(max(0.0, EVERY_S - (time.time() - began)))


if __name__ == "__main__":
    main(sys.argv[1])
