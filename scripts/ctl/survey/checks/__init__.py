"""The table of checks. A new one is a row in one of the files beside this; ids are for ever, because monitoring and people know them."""

from __future__ import annotations

from components.settings import Settings
from scripts.ctl.survey.checks import agreement, archive, database, machines, platform, records, shop, states, stores
from scripts.ctl.survey.checks.row import Finding, Sight
from scripts.ctl.survey.seen import Survey

ROWS = (
    *agreement.ROWS,
    *database.ROWS,
    *archive.ROWS,
    *stores.ROWS,
    *shop.ROWS,
    *machines.ROWS,
    *platform.ROWS,
    *states.ROWS,
    *records.ROWS,
)


def judge(survey: Survey, settings: Settings) -> list[Finding]:
    """Every finding, in the order of the table; of what is `deep` where that was asked. Pure."""
    sight = Sight(survey=survey, settings=settings)
    return [finding for row in ROWS if survey.deep or not row.deep for finding in row.findings(sight)]
