"""The ways to people that the configuration names: those of the monitoring's alerts, with the same secrets."""

from __future__ import annotations

from components.settings import Settings
from contract.services.monitoring import Keys
from scripts.watch.pages import Mail, PagerDuty, Slack, Way, Webhook


def ways(settings: Settings) -> tuple[Way, ...]:
    """Empty where there is none."""
    keys, told, found = settings.monitoring or Keys(), settings.secrets.monitoring, list[Way]()
    if told.pagerduty is not None:
        found.append(PagerDuty(url=keys.pagerduty_url, key=told.pagerduty, source=settings.shop.host))
    if told.slack is not None:
        found.append(Slack(url=told.slack))
    if told.webhook is not None:
        found.append(Webhook(url=told.webhook))
    if keys.email is not None:
        server, _, port = keys.email.server.rpartition(":")
        found.append(
            Mail(
                server=server,
                port=int(port),
                sender=keys.email.sender,
                to=tuple(keys.email.to),
                tls=keys.email.tls,
                user=keys.email.user,
                password=told.smtp_password,
            )
        )
    return tuple(found)
