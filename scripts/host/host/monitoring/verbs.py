"""`dr-host monitoring converge|status|metrics|page|board|silence`: exporters on every host; Prometheus, Alertmanager and a prober on control hosts.

`metrics` is what a timer runs twice a minute on every host: `host survey` as a file of figures for the node exporter. So this file imports no more than that
takes; what `converge` takes is in `service.py`.
"""

from __future__ import annotations

from ...frame.call import Call, Verb, elsewhere
from ...frame.figures import Figures
from ...frame.files import make_folder, write_atomically
from ...frame.result import Result
from ...frame.systemd import Systemd
from ..survey import figured
from . import figures
from .inside import gathered, inside
from .itself import SELF, itself

JOB, TIMER = "dr_host", "dr-figures.timer"
NODE = "prometheus-node-exporter.service"
WATCHERS = ("prometheus.service", "prometheus-alertmanager.service", "prometheus-blackbox-exporter.service")


def status(call: Call) -> Result:
    """Live facts; null where monitoring was never put here. Never fails."""
    if not (call.layout.etc / SELF).exists():
        return Result({"on": False, "units": None, "figures": None})
    units, path = Systemd(), Figures(call.layout, JOB, "root").path
    present = [unit for unit in (TIMER, NODE, *WATCHERS) if (call.layout.units / f"{unit}.d").is_dir() or unit == TIMER]
    return Result(
        {
            "on": True,
            "units": {unit: units.running(unit) for unit in present},
            "figures": path.stat().st_mtime if path.is_file() else None,
        }
    )


def metrics(call: Call) -> Result:
    """Write this host's figures, whole. Raises Failed where monitoring was never put here."""
    host, _ = itself(call.layout, "no figures were written, and those of before get old")
    told = gathered(figured(call, inside(call.layout)))
    facts = figures.derived(told, figures.ends(call.layout.etc / "host.crt", call.layout.run / "certificate-ends"))
    text = figures.rendered(host, facts)
    target = Figures(call.layout, JOB, "root").path
    make_folder(target.parent)
    write_atomically(target, text.encode(), 0o644)
    return Result({"file": str(target), "lines": text.count("\n")})


VERBS = {
    "converge": Verb(elsewhere(f"{__package__}.service", "converge")),
    "status": Verb(status, locked=False, reads=False),
    "board": Verb(elsewhere(f"{__package__}.watching", "board"), locked=False),
    "silence": Verb(elsewhere(f"{__package__}.watching", "silence"), locked=False),
    "unsilence": Verb(elsewhere(f"{__package__}.watching", "unsilence"), locked=False),
    "silenced": Verb(elsewhere(f"{__package__}.watching", "silenced"), locked=False, reads=False),
    "page": Verb(elsewhere(f"{__package__}.page.job", "page"), locked=False, reads=False),
    "metrics": Verb(metrics, locked=True, apart=True, reads=False),
}
