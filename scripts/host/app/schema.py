"""Whether the database has every migration of a release: asked without loading the release."""

from __future__ import annotations

import json
from typing import Any

from ..frame.commands import run
from .config import Desired, login
from .names import TLS, USER

# Rails' own convention: a file `<version>_<name>.rb` a migration (`<version>_<name>.<engine>.rb` one of an engine's), in this folder or one in it, and the
# versions that have run in `schema_migrations`. Ends with 0 when none is missing, with anything else when one is or when that cannot be told; more than one
# folder of migrations cannot.
PENDING = r"""
require "json"
require "pg"
told = JSON.parse($stdin.read)
folders = Dir.glob(File.join(told.fetch("release"), "db", "*migrate"))
exit 1 unless folders.size == 1
versions = Dir.glob(File.join(folders.first, "**", "*.rb")).filter_map { |path| File.basename(path)[/\A(\d+)_\w*(?:\.\w*)?\.rb\z/, 1]&.to_i }
rows = PG.connect(told.fetch("database")).exec("SELECT version FROM public.schema_migrations")
exit((versions - rows.column_values(0).map(&:to_i)).empty? ? 0 : 1)
"""
CONNECT_S = 2


def has_schema(desired: Desired, limit_s: float) -> bool:
    """Within `limit_s`; False where that cannot be told."""
    told = json.dumps(schema_question(desired))
    return run(["ruby", "-e", PENDING], limit_s=limit_s, stdin=told, user=USER, check=False).code == 0


def schema_question(desired: Desired) -> dict[str, Any]:
    """What `PENDING` reads on stdin; it holds the database's password."""
    who = login(desired, active_only=False).database
    return {
        "release": desired.release,
        "database": {
            "host": ",".join(desired.database_names),
            "dbname": desired.database,
            "user": who,
            "password": desired.database_password,
            "sslmode": "verify-full",
            "sslrootcert": "/etc/dr/ca.pem",
            "sslcert": f"{TLS}/{who}.crt",
            "sslkey": f"{TLS}/{who}.key",
            "target_session_attrs": "read-write",
            "connect_timeout": CONNECT_S,
        },
    }
