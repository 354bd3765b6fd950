"""How links sign in elsewhere: OpenStack, the OVHcloud API, ssh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .checks import Unwanted, address, line, mapping, optional, password, prose, url
from .dataclass import dataclass
from .fields import Contradiction, key, parts
from .forms import ENTRANCE, HOST_KEY, PUBLIC_KEY
from .plain import shown


@dataclass(frozen=True, kw_only=True)
class OpenStack:
    """A project at OpenStack, and its user."""

    auth_url: str = key(url, "Keystone")
    user: str = key(line, "the user's name")
    password: str = key(password, "the user's password", secret=True)
    project_id: str = key(line, "the project")
    domain: str = key(line, "the user's domain")


@dataclass(frozen=True, kw_only=True)
class Ovh:
    """The OVHcloud API, by application key, secret and consumer key."""

    endpoint: str = key(line, "name of the API's region, or its URL")
    application_key: str = key(password, "of the application", secret=True)
    application_secret: str = key(password, "of the application", secret=True)
    consumer_key: str = key(password, "what the account has allowed it", secret=True)


@dataclass(frozen=True, kw_only=True)
class SshHost:
    """A host as ssh knows it."""

    vrack: str = key(address, "address between the regions")
    front: str = key(address, "address in its site's front network")
    host_key: str = key(PUBLIC_KEY, "its public key, pinned")


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """The operator's way to the hosts of both sites."""

    private_key: str = key(prose, "the operator's key, OpenSSH PEM", secret=True)
    hosts: Mapping[str, SshHost] = parts(SshHost, "hosts by key, like db-1.a", names=None)
    bastions: Mapping[str, str | None] = key(
        mapping("a|b", optional(ENTRANCE)),
        "public addresses of bastions by site: the own one's; the other is read from the witness",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Each host's key is a word of ssh's configuration."""
        for name in self.hosts:
            try:
                HOST_KEY(name)
            except Unwanted as error:
                yield Contradiction("hosts", shown(name), str(error), "no host is reached", "correct the document")
