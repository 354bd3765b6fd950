"""Where Pulumi keeps states, read without pulumi: its own command can tell neither locks nor whether old versions are kept.

A folder and an S3 bucket are read; another backend is pulumi's alone, and what is asked of it here is unknown. The layout is that of pulumi's
self-managed backends: `.pulumi/stacks/<project>/<stack>.json`, `.pulumi/locks/organization/<project>/<stack>/<id>.json`.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from components import state
from contract import fields
from contract.buckets import Bucket
from contract.dataclass import dataclass
from contract.errors import Failed, Usage
from contract.plain import phrase, shown
from scripts.clients.state_bucket import MOST_STATE, StateBucket

ANSWER_S = 3.0  # for one answer of a bucket
REFUSED_HERE = "its states are read by pulumi alone"


class Backend(Protocol):
    """`place`: for people. Names and keys are those below the backend's own folder."""

    @property
    def place(self) -> str: ...

    def names(self, prefix: str) -> list[str]:
        """Raises Failed."""

    def read(self, key: str) -> bytes | None:
        """None where there is none. Raises Failed."""

    def versioned(self) -> bool | None:
        """Whether old versions are kept; None where nobody says. Raises Failed."""


@dataclass(frozen=True)
class Folder:
    """Of this machine: with it the states are lost."""

    path: Path

    @property
    def place(self) -> str:
        return f"folder {phrase(str(self.path), 200)}"

    def names(self, prefix: str) -> list[str]:
        """See `Backend`. A folder that is not there is a backend that does not answer."""
        if not (self.path / ".pulumi").is_dir():
            raise Failed(
                f"Pulumi's backend, {self.place}: has no .pulumi in it, wanted the states; no `pulumi up` can run; mount it, or `pulumi login` where they are"
            )
        below = self.path / prefix
        return sorted(f"{prefix}{it.name}" for it in below.iterdir()) if below.is_dir() else []

    def read(self, key: str) -> bytes | None:
        """See `Backend`."""
        try:
            with (self.path / key).open("rb") as stream:
                found = stream.read(MOST_STATE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Failed(
                f"Pulumi's backend, {self.place}: cannot be read ({error.strerror}); see who owns it"
            ) from None
        if len(found) > MOST_STATE:
            raise Failed(
                f"Pulumi's backend, {self.place}: {shown(key)} is larger than {MOST_STATE} bytes; see what is in it"
            )
        return found

    def versioned(self) -> bool | None:
        """See `Backend`."""
        self.names("")
        return False


@dataclass(frozen=True)
class S3:
    """A bucket, or a folder of one."""

    bucket: StateBucket
    name: str
    prefix: str = ""

    @property
    def place(self) -> str:
        return f"bucket {phrase(self.name, 100)}"

    def names(self, prefix: str) -> list[str]:
        """See `Backend`."""
        return [name.removeprefix(self.prefix) for name in self.bucket.names(self.prefix + prefix)]

    def read(self, key: str) -> bytes | None:
        """See `Backend`."""
        return self.bucket.read(self.prefix + key)

    def versioned(self) -> bool | None:
        """See `Backend`."""
        return self.bucket.versioned()


def opened(environment: Mapping[str, str], home: Path) -> Backend:
    """The one that pulumi would take here. `home`: the user's. Raises Failed where it is none that is read, or its keys are not here."""
    url = state.backend(environment, home)
    parts = urlsplit(url)
    if parts.scheme == "file":
        told = f"{parts.netloc}{parts.path}"
        return Folder(home / told[2:] if told[:2] in ("~", "~/") else Path(told))
    if parts.scheme == "s3" and parts.netloc:
        return _bucket(url, environment, home)
    kind = f"{parts.scheme}://" if parts.scheme else "none that pulumi is logged in to"
    raise Failed(f"Pulumi's backend: is {phrase(kind, 40)}; {REFUSED_HERE}")


def _bucket(url: str, environment: Mapping[str, str], home: Path) -> S3:
    parts = urlsplit(url)
    said = {name: values[0] for name, values in parse_qs(parts.query).items()}
    region = said.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""
    endpoint = said.get("endpoint") or environment.get("AWS_ENDPOINT_URL_S3") or f"s3.{region}.amazonaws.com"
    if "://" not in endpoint:
        endpoint = f"{'http' if said.get('disableSSL') == 'true' else 'https'}://{endpoint}"
    keys = _keys(environment, home, said.get("profile") or environment.get("AWS_PROFILE") or "default")
    told = {
        "endpoint": endpoint.rstrip("/"),
        "region": region or "us-east-1",
        "bucket": parts.netloc,
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
    }
    try:
        place = fields.read(Bucket, told, "Pulumi's backend")
    except Usage as error:
        raise Failed(f"{error}") from None
    folder = parts.path.strip("/")
    bucket = StateBucket(place, session_token=keys.token, answer_s=ANSWER_S)
    return S3(bucket, parts.netloc, f"{folder}/" if folder else "")


@dataclass(frozen=True)
class _Keys:
    access_key: str
    secret_key: str
    token: str


def _keys(environment: Mapping[str, str], home: Path, profile: str) -> _Keys:
    """As pulumi finds them: in the environment, else in the file of AWS' tools. Raises Failed."""
    if environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY"):
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return _Keys(*(environment.get(name, "") for name in names))
    file = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text())
        found = parser[profile]
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return _Keys(found[names[0]], found[names[1]], found.get(names[2], ""))
    except (OSError, KeyError, UnicodeDecodeError, configparser.Error):
        raise Failed(
            f"keys to Pulumi's backend: found none in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, nor in {phrase(str(file), 200)} as {shown(profile)}, wanted "
            "the user's of that bucket; what lies there is not known; set both"
        ) from None
