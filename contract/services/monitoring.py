"""Monitoring: what is configured of it (`dr:monitoring`) and what `monitoring converge` is told."""

from __future__ import annotations

from collections.abc import Iterator

from ..buckets import Bucket
from ..checks import address, boolean, integer, listing, optional, text
from ..dataclass import dataclass
from ..fields import Contradiction, key, part
from .status_page import StatusPage

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
_MAIL = text(r"[^\s@<>\"']{1,64}@[A-Za-z0-9.-]{1,255}", "a mail address")
_SERVER = text(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}", "host:port of a mail server, like smtp.example.org:587")
_SECRET = text(r"[\x21-\x7e]{1,4000}", "a word without spaces")
_WORD = text(r"[^\s\"']{1,200}", "a word without spaces and quotes")
_HTTP = text(r"https?://[^\s\"'\\]{1,500}", "an http or https URL")
_PLACE = text(r"(https?://)?[A-Za-z0-9._~/:%-]{1,300}[^/\s]", "a URL or a folder, without a slash at its end")
_TOLD = "that way nobody is told of an alert"
# Without a user: whoever may read the configuration would have the password that follows it.
_STORE = text(r"https?://[^\s\"'\\@]{1,500}", "an http or https URL without a user in it")
_HEADER = text(r"[A-Za-z][A-Za-z0-9-]{0,60}", "the name of a header, like X-Scope-OrgID")
_UNSENT = "no figure would reach the store"


@dataclass(frozen=True, kw_only=True)
class Email:
    """`dr:monitoring.email`. The password is `monitoring.smtp_password` of `dr:secrets`."""

    to: tuple[str, ...] = key(listing(_MAIL, at_least=1), "who is written to", why=_TOLD)
    sender: str = key(_MAIL, "as whom", why=_TOLD)
    server: str = key(_SERVER, "the mail server that takes it", why=_TOLD)
    user: str | None = key(optional(_WORD), "as whom to sign in there; absent: not at all", default=None, why=_TOLD)
    tls: bool = key(
        boolean, "whether the server must speak TLS (STARTTLS, or from the start on 465)", default=True, why=_TOLD
    )


@dataclass(frozen=True, kw_only=True)
class RemoteWrite:
    """`dr:monitoring.remote_write`. Its password is `monitoring.remote_write_password` of `dr:secrets`, or `remote_write_token` a token."""

    url: str = key(
        _STORE, "takes Prometheus' remote write: every figure of both regions, from each of them", why=_UNSENT
    )
    user: str | None = key(
        optional(_WORD), "as whom, with the password; absent: with the token, or as nobody", default=None, why=_UNSENT
    )
    tenant_header: str | None = key(
        optional(_HEADER), "that says whose figures they are, where the store wants one", default=None, why=_UNSENT
    )
    tenant: str | None = key(optional(_WORD), "what it says", default=None, why=_UNSENT)

    def contradictions(self) -> Iterator[Contradiction]:
        """A header has something to say."""
        if (self.tenant_header is None) != (self.tenant is None):
            found, lacks = ("tenant_header", "tenant") if self.tenant is None else ("tenant", "tenant_header")
            yield Contradiction(lacks, "nothing", f"it beside {found}", _UNSENT, "name both or none")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """`dr:monitoring`. Absent: nobody watches. Who is told beside those of `email`, says the part `monitoring` of `dr:secrets` (docs/monitoring.md)."""

    enabled: bool = key(
        boolean,
        "false: what was put on hosts is stopped and taken away by the next run; then leave the section out",
        default=True,
        why="it is not clear whether anybody watches",
    )
    retention_days: int = key(
        integer(1, 365), "how long figures are kept", default=15, unit="days", why="figures would fill the disk"
    )
    retention_gb: int = key(
        integer(1, 1000),
        "how much of the control host's disk they may take; whichever is reached first",
        default=4,
        unit="GB",
        why="figures would fill the disk",
    )
    memory_mb: int = key(
        integer(128, 65_536),
        "what Prometheus may take; at more it is ended and begins anew",
        default=512,
        unit="MiB",
        why="the host's other work would have no memory left",
    )
    runbook: str = key(
        _PLACE,
        "where your copy of docs/runbook is: alerts link to its pages",
        default="docs/runbook",
        why="an alert would lead nowhere",
    )
    email: Email | None = part(Email, "who is written to", optional=True, why="nobody is written to")
    pagerduty_url: str = key(
        _HTTP, "where events go: PagerDuty's Events API v2, or one like it", default=PAGERDUTY, why=_TOLD
    )
    remote_write: RemoteWrite | None = part(
        RemoteWrite, "a store that figures are sent to as well", optional=True, why=_UNSENT
    )
    status_page: StatusPage | None = part(
        StatusPage, "a page for customers, in the third region", optional=True, why="customers see no page"
    )


@dataclass(frozen=True, kw_only=True)
class Watch(Keys):
    """What a control host is told beside the keys: what to look at, and by which words it is let in where people are told."""

    shop_host: str = key(text(r"[a-z0-9.-]{1,253}", "a domain name in lower case"), "the public name")
    shop_ca: str | None = key(
        optional(text(r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n*)+", "a PEM text")),
        "that its certificate goes back to; null: a public root",
        default=None,
    )
    entrance: str | None = key(optional(address), "public address of the own site's load balancer", default=None)
    max_lag_bytes: int = key(integer(0, 999_999_999), "of `dr:loss_budget`")
    max_lag_s: int = key(integer(0, 86_400), "of `dr:loss_budget`", unit="s")
    archived: bool = key(boolean, "whether there is an archive", default=False)
    smtp_password: str | None = key(
        optional(text(r"[^\r\n\0]+", "a password")), "of the mail server", default=None, secret=True
    )
    slack: str | None = key(optional(_HTTP), "an incoming webhook of Slack", default=None, secret=True)
    pagerduty: str | None = key(optional(_WORD), "integration key of Events v2", default=None, secret=True)
    webhook: str | None = key(optional(_HTTP), "takes what Alertmanager posts", default=None, secret=True)
    watchdog: str | None = key(optional(_HTTP), "called each minute while alerting is alive", default=None, secret=True)
    remote_write_password: str | None = key(optional(_SECRET), "of the store's user", default=None, secret=True)
    remote_write_token: str | None = key(
        optional(_SECRET), "for the store, in place of user and password", default=None, secret=True
    )
    page_store: Bucket | None = part(Bucket, "where the page for customers lies, with its key", optional=True)

    @property
    def store_secret(self) -> str | None:
        """What Prometheus shows at the store; None: nothing."""
        if self.remote_write is None:
            return None
        return self.remote_write_token if self.remote_write.user is None else self.remote_write_password

    def contradictions(self) -> Iterator[Contradiction]:
        """A server that asks who it is needs a password, and one is of use for nothing else. A page needs a place."""
        store = self.remote_write
        if store is not None and store.user is not None and self.remote_write_password is None:
            yield Contradiction(
                "remote_write_password",
                "nothing",
                f"the password of {store.user} at the store",
                _UNSENT,
                "put it into the part monitoring of dr:secrets as remote_write_password, in both stacks",
            )
        if self.email is not None and self.email.user is not None and self.smtp_password is None:
            yield Contradiction(
                "smtp_password",
                "nothing",
                f"the password of {self.email.user} at the mail server",
                "no mail would be taken",
                "put it into the part monitoring of dr:secrets as smtp_password, in both stacks",
            )
        if self.status_page is not None and self.page_store is None:
            yield Contradiction(
                "page_store",
                "nothing",
                f"bucket {self.status_page.bucket} with a key to it",
                "the page could be written by nobody",
                "put its key into the part monitoring of dr:secrets as status_page, in both stacks",
            )


@dataclass(frozen=True, kw_only=True)
class Block:
    """`monitoring converge`: of every host."""

    enabled: bool = key(boolean, "false: what is there is taken away", default=True)
    watch: Watch | None = part(Watch, "of a control host: what to watch; null on the others", optional=True)
