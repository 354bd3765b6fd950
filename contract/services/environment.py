"""The environment of the shop's processes: the names that the product sets, and what others are filled with. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from ..checks import mapping, text
from ..fields import Contradiction
from ..plain import shown

SECRET = re.compile(r"secret\.([A-Za-z_][A-Za-z0-9_]{0,63})")
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_]+)?)\}")
# `app` of the secrets: one line each, it ends up in a file of lines.
SECRETS = mapping(r"[A-Za-z_][A-Za-z0-9_]{0,63}", text(r"[^\r\n\0]{1,8000}", "a text of one line"))

# What the product sets. A process that works in the active region alone has another login at database and caches, under the same names.
OWN = (
    "APP_HOST", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "DATABASE_REPLICA_URL", "DATABASE_URL",
    "DR_CACHES", "DR_CACHE_CA", "DR_CACHE_CERT", "DR_CACHE_KEY", "DR_CACHE_PASSWORD", "DR_CACHE_USER", "DR_ROLE_FILE", "DR_SITE", "PGSSLCERT",
    "PGSSLKEY", "PORT", "RACK_ENV", "RAILS_ENV", "RAILS_LOG_TO_STDOUT", "RAILS_MAX_THREADS", "REDIS_URL", "S3_BUCKET", "SECRET_KEY_BASE",
    "WEB_CONCURRENCY",
)  # fmt: skip
_TAKEN = re.compile(r"DR_[A-Z0-9_]*")  # names to come
# What a value may be filled with, beside `secret.<NAME>`.
PLACES = (
    "bucket", "bucket.access_key", "bucket.endpoint", "bucket.region", "bucket.secret_key", "database.hosts", "database.name", "database.password",
    "database.port", "database.replica_url", "database.url", "database.user", "host", "redis.cache_url", "redis.host", "redis.jobs_url",
    "redis.password", "redis.port", "redis.sessions_url", "redis.url", "redis.user", "secret_key_base", "site",
)  # fmt: skip


def contradictions(path: str, values: Mapping[str, str]) -> Iterator[Contradiction]:
    """Names that are the product's, and places that nothing fills."""
    for name, value in values.items():
        if name in OWN or _TAKEN.fullmatch(name):
            yield Contradiction(
                f"{path}.{name}",
                "a value",
                "a name that the product does not set itself",
                "the shop would be told two things by one name",
                f"remove it, or have the shop read another name that is filled by it, as in `MY_{name}: '{{database.url}}'`",
            )
        for place in _PLACE.findall(value):
            if place not in PLACES and not SECRET.fullmatch(place):
                yield Contradiction(
                    f"{path}.{name}",
                    f"the place {{{place}}}",
                    f"one of {', '.join(f'{{{it}}}' for it in PLACES)} or {{secret.NAME}}",
                    "the shop would be told the place and not what belongs there",
                    "correct it",
                )


def secrets_named(values: Iterable[str]) -> list[str]:
    """Names of the secrets that values are filled with."""
    found = (SECRET.fullmatch(place) for value in values for place in _PLACE.findall(value))
    return sorted({match[1] for match in found if match})


def filled(value: str, places: Mapping[str, str]) -> str:
    """The value with what belongs into its places. Raises KeyError for one that nothing fills, with the place as its text."""

    def put(match: re.Match[str]) -> str:
        place = match[1]
        if place not in places:
            raise KeyError(f"{{{shown(place)[1:-1]}}}")
        return places[place]

    return _PLACE.sub(put, value)


def database_url(hosts: Iterable[str], port: int, name: str, user: str, password: str, *, ca: str, writer: bool) -> str:
    """Of one or several hosts, of which libpq takes the first that accepts writes (`writer`), or the first that answers.

    User and password stand in the query: Ruby's URI takes none before an absent host, libpq and ActiveRecord take them in either place. A peer that
    went silent is given up after three seconds instead of a quarter of an hour.
    """
    names = list(hosts)
    query = {
        "host": ",".join(names),
        "port": ",".join([str(port)] * len(names)),
        "user": user,
        "password": password,
        "target_session_attrs": "read-write" if writer else "any",
        "sslmode": "verify-full",
        "sslrootcert": ca,
        "connect_timeout": "2",
        "tcp_user_timeout": "3000",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "2",
    }
    told = "&".join(f"{word}={quote(value, safe=',/')}" for word, value in query.items())
    return f"postgresql:///{quote(name, safe='')}?{told}"


# Databases of the one cache, for what must not meet by its keys: names alone are apart, memory and what goes when it is full are not.
REDIS_DATABASES = {"redis.url": 0, "redis.cache_url": 1, "redis.jobs_url": 2, "redis.sessions_url": 3}


def redis_url(host: str, port: int, user: str, password: str, number: int = 0) -> str:
    """Of a database of the cache. Without TLS: it leads no further than this machine."""
    return f"redis://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}/{number}"
