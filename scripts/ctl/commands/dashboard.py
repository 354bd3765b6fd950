"""`drctl dashboard`: both regions' figures in a browser of this machine, through ssh, without anything that listens elsewhere."""

from __future__ import annotations

import argparse
from contextlib import suppress

from contract.errors import ExitCode, Refused
from contract.sites import SITES, other
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.boards.figures import Source
from scripts.ctl.survey.boards.serving import Dashboard


def run(chosen: argparse.Namespace) -> ExitCode:
    """Until Ctrl-C. Raises Refused where nobody measures."""
    settings = Stack.chosen(chosen).settings()
    if settings.monitoring is None or not settings.monitoring.enabled:
        raise Refused(
            "dr:monitoring: found absent or not enabled, wanted it set: nobody measures, so there is nothing to show; "
            "set it in Pulumi.yaml and run pulumi up for both regions (docs/monitoring.md)"
        )
    sites = (chosen.of, other(chosen.of)) if chosen.of else SITES
    with Source(settings, chosen.person, sites) as source:
        dashboard = Dashboard(source.figures, chosen.port)
        print(f"{dashboard.url}\nCtrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            dashboard.serve()
    return ExitCode.DONE
