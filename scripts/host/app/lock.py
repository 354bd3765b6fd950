"""The lock of the process `release`: one at a time over all hosts of both sites, whatever the release does itself."""

from __future__ import annotations

from collections.abc import Callable

from contract.errors import Failed, say

LOCKED = "/opt/dr/app-release.rb"
WAIT_S = 60
# Key of the lock in the shop's database; it belongs to the session, and goes with it.
KEY = 727_004_002


def held(begin: Callable[[], None], release: str) -> None:
    """`begin`: has the process run to its end. Raises Failed that says what is so when it fails."""
    try:
        begin()
    except Failed as error:
        raise Failed(
            say(
                subject=f"process release of {release.rpartition('/')[2][:12]} (migrations)",
                found=f"it failed: {error}",
                wanted="its end with code 0",
                consequence="nothing of this release runs on this host, and what ran before goes on; migrations that it has made stay",
                remedy="read `journalctl -u shop-release` there, mend the migration, and deploy a release that has it mended",
            )
        ) from None


TEXT = f"""# Written by dr-host app converge; changes made here are lost.
# Runs the command it is given while it holds a lock in the database, and ends as the command does.
require "pg"

begin
  held = PG.connect(ENV.fetch("DATABASE_URL"))
  held.exec("SET statement_timeout = 0")
  held.exec("SET lock_timeout = '{WAIT_S}s'")
  held.exec("SELECT pg_advisory_lock({KEY})")
rescue PG::LockNotAvailable
  abort "ERROR release: found the lock held for {WAIT_S} s, wanted it free; the release of another host is still at work; run the same again when it has ended"
rescue PG::Error => e
  abort "ERROR release: found no database that writes (#{{e.message.lines.first&.strip}}), wanted one; nothing was migrated; run the same again"
end
child = Process.spawn("/bin/sh", "-c", ARGV.fetch(0))
%w[TERM INT].each {{ |signal| trap(signal) {{ Process.kill(signal, child) }} }}
_, status = Process.wait2(child)
exit(status.exitstatus || 1)
"""
