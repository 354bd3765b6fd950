"""What a control host's own servers are asked: a board's figures, silences set and ended, and which are open."""

from __future__ import annotations

from contract import fields
from contract.hosts import fqdn_of
from contract.monitoring.silences import Silence, Unsilence

from ...frame.call import Call
from ...frame.result import Result
from . import asking, config, silences
from .itself import itself


def board(call: Call) -> Result:
    """A board's figures (`contract/monitoring/boards.py`), of a control host. Raises Usage, and Failed where Prometheus does not say."""
    wanted, seconds = asking.asked_for(call.document)
    host, site = itself(call.layout, "nothing can be shown from here")
    with asking.Prometheus(fqdn_of(host, site), config.PROMETHEUS, call.layout.etc) as prometheus:
        return Result(asking.figures(wanted, seconds, site, prometheus.ask))


def _alertmanager(call: Call, limit_s: float = silences.LIMIT_S) -> silences.Alertmanager:
    """This control host's. Raises Failed where monitoring was never put here."""
    host, site = itself(call.layout, "no silence was set or ended here")
    return silences.Alertmanager(fqdn_of(host, site), config.ALERTS, call.layout.etc, limit_s)


def silence(call: Call) -> Result:
    """Of what an undertaking causes itself. Raises Usage, and Failed where Alertmanager does not take it."""
    told = fields.read(Silence, call.document, "monitoring silence")
    with _alertmanager(call) as alertmanager:
        return Result({"silences": silences.silence(told, alertmanager)})


def unsilence(call: Call) -> Result:
    """It is over. Raises Usage, Failed."""
    told = fields.read(Unsilence, call.document, "monitoring unsilence")
    with _alertmanager(call) as alertmanager:
        return Result({"silences": silences.unsilence(told.id, told.after_s, alertmanager)})


def silenced(call: Call) -> Result:
    """What is silenced, for `host survey`, which others wait for. Raises Failed."""
    with _alertmanager(call, silences.SURVEY_S) as alertmanager:
        return Result({"silences": silences.told(alertmanager)})
