"""No secret of the running pair stands where it should not; and one that somebody puts there is found."""

from __future__ import annotations

import shlex
import time

import pytest

from lab.namespace import entered
from lab.rehearsal.leaks import scan
from tests.refused.ground import Ground


def shown(ground: Ground) -> list[scan.Leak]:
    began = time.monotonic()
    with entered(ground.where.netns):
        secrets = scan.known(ground.where, ground.secrets, ground.world.pulumi.passphrase)
        found = scan.leaks(ground.where, secrets)
    print(f"{len(secrets)} secrets searched for in {time.monotonic() - began:.1f} s")
    return found


def test_nothing_is_shown(ground: Ground) -> None:
    assert [leak.line() for leak in shown(ground)] == []


@pytest.mark.proof
@pytest.mark.parametrize(
    ("where", "host", "line"),
    [
        ("journal", "db-1.a", 'logger -t planted "$(cat)"'),
        ("journal", "app-1.b", 'base64 -w0 | xargs -0 logger -t planted'),
        ("/var/tmp/planted", "cache-1.a", "cat > /var/tmp/planted"),
        ("/etc/shop/env", "app-1.a", "chmod 644 /etc/shop/env"),
        ("core file", "db-1.b", ": > /var/lib/postgresql/core.77"),
        ("arguments", "control-1.a", "setsid python3 -c 'import time; time.sleep(60)' planted \"$(cat)\" >/dev/null 2>&1 &"),
        ("environment of nobody", "control-1.b", 'WORD="$(cat)" setsid runuser -u nobody --preserve-environment -- sleep 60 >/dev/null 2>&1 &'),
    ],
)  # fmt: skip
def test_what_somebody_puts_there_is_found(ground: Ground, where: str, host: str, line: str) -> None:
    word = ground.secrets["postgres"]["app"]
    command = line.replace('"$(cat)"', '"$word"')
    done = ground.run(host, f"word=$(cat); {command}" if command != line else line, stdin=word)
    assert done.returncode == 0, done.stderr
    found = [leak.line() for leak in shown(ground)]
    ground.run(host, "chmod 600 /etc/shop/env; rm -f /var/tmp/planted /var/lib/postgresql/core.77")
    assert [line for line in found if host in line and where in line], found
    assert not [line for line in found if word in line or shlex.quote(word) in line]
