"""What people are told by, alerts, stores of figures and of journals and the page for customers, against the secrets that it takes: rules that a preview
tells.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.settings import Settings
from components.trust import Row
from contract.names import BUCKETS
from contract.sites import SITES


def faults(settings: Settings) -> Iterator[Row]:
    """Of what was read of both."""
    if settings.secrets.secret_key_base is None:
        return  # what cannot be read lacks more than this
    yield from _mail(settings)
    yield from _store(settings)
    yield from _page(settings)
    yield from _journals(settings)


def _mail(settings: Settings) -> Iterator[Row]:
    mail = settings.monitoring.email if settings.monitoring else None
    if mail is not None and mail.user is not None and settings.secrets.monitoring.smtp_password is None:
        yield (
            "monitoring.email.user",
            f"{mail.user!r}, and no password of it in dr:secrets",
            "dr:secrets monitoring.smtp_password",
            "the mail server would take no alert",
            "add {monitoring: {smtp_password: ...}} to the object of dr:secrets in both stacks, or leave the user out where the server asks for none",
        )


def _store(settings: Settings) -> Iterator[Row]:
    """Of figures."""
    store, told = settings.monitoring and settings.monitoring.remote_write, settings.secrets.monitoring
    if store:
        yield from _let_in(
            part="monitoring",
            store="remote_write",
            user=store.user,
            password=told.remote_write_password,
            token=told.remote_write_token,
            what="figure",
        )


def _journals(settings: Settings) -> Iterator[Row]:
    """Of journals."""
    store, told = settings.logs and settings.logs.store, settings.secrets.logs
    if store:
        yield from _let_in(
            part="logs",
            store="store",
            user=store.user,
            password=told.store_password,
            token=told.store_token,
            what="journal",
        )


def _let_in(
    *, part: str, store: str, user: str | None, password: str | None, token: str | None, what: str
) -> Iterator[Row]:
    """A user and its password, or a token alone. `part`: of the configuration and of dr:secrets."""
    if user is not None and (password is None or token is not None):
        yield (
            f"{part}.{store}.user",
            f"{user!r}, and {'a token' if token else 'no password of it'} in dr:secrets",
            f"dr:secrets {part}.{store}_password, and no token beside it",
            f"the store would take no {what}, or by another name than is meant",
            f"put the password into the part {part} of dr:secrets in both stacks, or leave the user out where there is a token",
        )


def _page(settings: Settings) -> Iterator[Row]:
    page = settings.monitoring.status_page if settings.monitoring and settings.monitoring.enabled else None
    if page is None:
        return
    if settings.secrets.monitoring.status_page is None:
        yield (
            "monitoring.status_page",
            "set, and no key of its bucket in dr:secrets",
            "dr:secrets monitoring.status_page",
            "the page could be written by nobody",
            "make an S3 user with the policy that `drctl rights page` prints, and add {monitoring: {status_page: {access_key, secret_key}}} to the object of "
            "dr:secrets in both stacks",
        )
    if settings.service_name is None or settings.project is None:
        return
    taken = {settings.witness.bucket, *(settings.bucket(site, kind) for site in SITES for kind in BUCKETS)}
    if page.bucket in taken:
        yield (
            "monitoring.status_page.bucket",
            repr(page.bucket),
            "a bucket of its own",
            "what stands beside a page that anybody may read would be opened by one mistake",
            "make another bucket in the third region, and name that",
        )
