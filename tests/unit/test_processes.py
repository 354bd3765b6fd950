"""The shop's processes and their environment: what of a Procfile and of `dr:app` is taken, and with which words the rest is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from contract import fields
from contract.checks import Unwanted
from contract.errors import Usage
from contract.services import app, environment
from contract.services.processes import MOST_BYTES, Process, processes, procfile, shell
from contract.services.schedule import calendar

WEB = "web: puma -p $PORT\n"


def faults(text: str | None, **configured: Process) -> str:
    return "\n".join(map(str, processes(text, configured)[1]))


def test_a_procfile_names_the_processes_and_web_comes_first() -> None:
    found, wrong = processes(
        f"# what runs\n\nclock : ruby bin/clock\n{WEB}release: bin/rails db:migrate\n", {"clock": Process(count=2)}
    )
    assert not wrong
    assert [(it.name, it.command, it.keys.count, it.active_only) for it in found] == [
        ("web", "puma -p $PORT", 1, False),
        ("clock", "ruby bin/clock", 2, True),
        ("release", "bin/rails db:migrate", 1, False),
    ]
    assert [it.stop_s for it in found] == [5, 20, 20]


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, "no Procfile"), ("worker: ruby bin/worker\n", "a Procfile without web"), ("", "a Procfile without web")],
)
def test_a_release_without_web_is_refused_with_what_to_add(text: str | None, found: str) -> None:
    said = faults(text)
    assert f"release of the shop is {found}; wanted a line `web: ...`" in said
    assert "web: bundle exec puma -b tcp://127.0.0.1:$PORT" in said
    assert not faults(text, web=Process(command="puma")), (
        "a release that has no Procfile is told what it starts by the configuration"
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("worker ruby bin/worker", "line 2 is 'worker ruby bin/worker'; wanted `name: command`"),
        ("worker:", "line 2 is 'worker:'"),
        ("9to5: work", "line 2 is '9to5: work'"),
        ("web: puma", "line 2 is web a second time"),
        ("worker: bin/prepare && bin/work", "line 2 is '&&' in it; wanted one command"),
        ("worker: bin/prepare; bin/work", "line 2 is ';' in it"),
        ("worker: bin/work | logger", "line 2 is '|' in it"),
        ("worker: bin/work 'of", "line 2 is a quote that does not end"),
        ("worker: bin/work \x1b[2J", "line 2 is a quote that does not end, or what is no text of one line"),
    ],
)
def test_a_line_that_would_not_run_as_it_reads_is_refused(line: str, found: str) -> None:
    assert found in faults(f"{WEB}{line}\n")


@pytest.mark.parametrize(
    "line", ["bin/work 'a;b' \"c && d\"", "bin/work -r a,b --url http://x/?a=1#b", "bin/work $(nproc) > log/x"]
)
def test_what_only_looks_like_several_commands_is_taken(line: str) -> None:
    assert not faults(f"{WEB}worker: {line}\n")


def test_a_name_that_nothing_starts_and_one_that_two_things_do_are_refused() -> None:
    assert (
        "dr:app.processes.wroker is no process of the release; wanted a name of its Procfile (known there: web)"
        in faults(WEB, wroker=Process())
    )
    assert "dr:app.processes.web.command is a command, beside the one of the release's Procfile" in faults(
        WEB, web=Process(command="thin")
    )
    assert "dr:app.processes.x.command is '&&' in it" in faults(WEB, x=Process(command="a && b"))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ('printf %s "$A-$B"', "-b"),
        ('A=1 printf %s "$B"', "b"),
        ("A=1 B=2 sh -c 'echo $A$B'", "12"),
        ("printf '%s' 'a;b' \"c && d\"", "a;bc && d"),
    ],
)
def test_the_shell_replaces_itself_by_the_command(command: str, said: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", shell(command)],
        capture_output=True,
        text=True,
        check=True,
        env={"B": "b", "PATH": "/usr/bin:/bin"},
    )
    assert said in done.stdout
    pid = subprocess.Popen(["/bin/sh", "-c", shell("A=1 sh -c 'echo $$'")], stdout=subprocess.PIPE, text=True)
    assert pid.communicate()[0].strip() == str(pid.pid)


def test_a_procfile_is_read_as_far_as_anybody_writes_one(tmp_path: Path) -> None:
    assert procfile(tmp_path) is None
    (tmp_path / "Procfile").write_bytes(b"web: \xff\n" + b"#" * 2 * MOST_BYTES)
    text = procfile(tmp_path)
    assert text is not None and len(text) == MOST_BYTES and text.startswith("web: \ufffd\n")
    (tmp_path / "Procfile").unlink()
    (tmp_path / "Procfile").mkdir()
    assert procfile(tmp_path) is None


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("30 4 * * *", ("*-*-* 04:30:00 UTC",)),
        ("*/20 * * * *", ("*-*-* *:00,20,40:00 UTC",)),
        ("0 1-5/2,22 1 jan,JUL *", ("*-01,07-01 01,03,05,22:00:00 UTC",)),
        ("0 0 * * 1-5", ("Mon,Tue,Wed,Thu,Fri *-*-* 00:00:00 UTC",)),
        ("0 0 * * sun", ("Sun *-*-* 00:00:00 UTC",)),
        ("0 0 * * 7", ("Sun *-*-* 00:00:00 UTC",)),
        ("0 0 13 * fri", ("*-*-13 00:00:00 UTC", "Fri *-*-* 00:00:00 UTC")),
        ("@hourly", ("*-*-* *:00:00 UTC",)),
        ("@weekly", ("Sun *-*-* 00:00:00 UTC",)),
        ("Mon 04:30", ("Mon 04:30 UTC",)),
        ("*:0/5 UTC", ("*:0/5 UTC",)),
    ],
)
def test_a_crontabs_fields_are_times_of_systemd(words: str, wanted: tuple[str, ...]) -> None:
    assert calendar(words) == wanted


@pytest.mark.parametrize(
    "words",
    [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "@reboot",
        "",
        "a\nb",
        "* * * * x",
    ],
)
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(Unwanted, match="five fields of a crontab"):
        calendar(words)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"processes": {"web": {"count": 2}}}, "processes.web.count: found 2, wanted 1"),
        ({"processes": {"web": {"active_only": True}}}, "processes.web.active_only: found true, wanted no such key of `web`"),
        ({"processes": {"release": {"schedule": "@daily"}}}, "processes.release.schedule: found @daily"),
        ({"processes": {"clock": {"schedule": "@daily", "active_only": False}}}, "processes.clock.active_only: found false"),
        ({"processes": {"clock": {"schedule": "@daily", "count": 2}}}, "processes.clock.count: found 2"),
        ({"processes": {"a.b": {}}}, "wanted a name of at most 31 letters"),
        ({"processes": {"worker": {"stop_s": 21}}}, "processes.worker.stop_s"),
        ({"processes": {"worker": {"env": {"PORT": "1"}}}}, "processes.worker.env.PORT: found a value, wanted a name that the product does not set"),
        ({"env": {"DATABASE_URL": "x"}}, "env.DATABASE_URL: found a value"),
        ({"env": {"DR_ANYTHING": "x"}}, "env.DR_ANYTHING: found a value"),
        ({"env": {"X": "{database.hots}"}}, "env.X: found the place {database.hots}, wanted one of {bucket}"),
        ({"env": {"1X": "x"}}, "env"),
        ({"env": {"X": "two\nlines"}}, "env"),
        ({"release_limit_s": 601}, "release_limit_s"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_key(told: dict[str, object], said: str) -> None:
    with pytest.raises(Usage) as caught:
        fields.read(app.Keys, told, "app")
    assert f"app.{said}" in str(caught.value) or said in str(caught.value)


def test_values_are_filled_and_what_is_no_place_stays() -> None:
    told = {"site": "a", "secret.KEY": "s{site}"}
    assert (
        environment.filled('{site} {"a": {"b": 1}} {SITE} ${HOME} {secret.KEY}', told)
        == 'a {"a": {"b": 1}} {SITE} ${HOME} s{site}'
    ), "once"
    with pytest.raises(KeyError, match=r"\{secret.NONE\}"):
        environment.filled("{secret.NONE}", told)
    assert environment.secrets_named(["{secret.B} {secret.A}", "{site}", "{secret.A}"]) == ["A", "B"]


def test_the_urls_hold_any_password() -> None:
    password = "p'w\"d\\$x%é&=+#/?@:,"
    url = environment.database_url(
        ["db-1.a", "db-1.b"], 5432, "shop", "shop", password, ca="/etc/dr/ca.pem", writer=True
    )
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.path) == ("postgresql", "", "/shop")
    assert {name: values[0] for name, values in parse_qs(parts.query.replace("+", "%2B")).items()} == {
        "host": "db-1.a,db-1.b", "port": "5432,5432", "user": "shop", "password": password, "target_session_attrs": "read-write",
        "sslmode": "verify-full", "sslrootcert": "/etc/dr/ca.pem", "connect_timeout": "2", "tcp_user_timeout": "3000", "keepalives_idle": "5",
        "keepalives_interval": "2", "keepalives_count": "2",
    }  # fmt: skip
    redis = urlsplit(environment.redis_url("127.0.0.1", 6379, "shop", password))
    assert (redis.hostname, redis.port, redis.path) == ("127.0.0.1", 6379, "/0")
    assert (redis.username, unquote(redis.password or "")) == ("shop", password)


def test_what_is_cached_jobs_and_sessions_have_databases_of_their_own() -> None:
    numbers = environment.REDIS_DATABASES
    assert numbers["redis.url"] == 0 and len(set(numbers.values())) == len(numbers) == 4
    assert set(numbers) <= set(environment.PLACES)
    assert environment.redis_url("127.0.0.1", 6379, "shop", "x", numbers["redis.jobs_url"]).endswith(":6379/2")
