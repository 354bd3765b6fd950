"""The table of checks. A new one is a row in one of the files beside this; ids are for ever, because monitoring and people know them."""

from __future__ import annotations

from components.settings import Settings
from scripts.ctl.survey.checks import agreement, archive, database, machines, records, shop, stores
from scripts.ctl.survey.checks.row import Finding, Sight
from scripts.ctl.survey.seen import Survey

ROWS = (*agreement.ROWS, *database.ROWS, *archive.ROWS, *stores.ROWS, *shop.ROWS, *machines.ROWS, *records.ROWS)


def judge(survey: Survey, settings: Settings) -> list[Finding]:
    """Every finding, in the order of the table. Pure."""
    sight = Sight(survey=survey, settings=settings)
    return [finding for row in ROWS for finding in row.findings(sight)]
