"""`agent run`: the unit `dr-agent.service`."""

from __future__ import annotations

import signal

from ..frame.call import Call
from ..frame.files import make_folder
from ..frame.result import Result
from ..frame.witness import Witness
from .config import Config
from .deadman import KINDS
from .facts import facts_of, servers_of
from .loop import Agent, Parts
from .peer import Asker
from .status import alone
from .unit import Unit, unit_name
from .witness import WitnessChannel


def run(call: Call) -> Result:
    """Until SIGTERM. Exit 3 when another agent runs already."""
    make_folder(call.layout.run)
    with alone(call.layout):
        agent = Agent(_parts(call, Config.read(call.layout)))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stop())
        call.log.info(
            f"started for {agent.config.service} of site {agent.config.site}, lease {agent.config.terms.lease_s:g} s"
        )
        agent.run()
    return Result({"ended": True})


def _parts(call: Call, config: Config) -> Parts:
    limit = config.terms.question_s
    return Parts(
        config=config,
        layout=call.layout,
        log=call.log,
        facts=facts_of(config.service, call.layout, call.log),
        control=Unit(
            call.layout,
            lambda: unit_name(call.layout, config.service),
            call.log,
            servers_of(config.service, call.layout),
            KINDS[config.service].polite,
        ),
        witness=WitnessChannel(Witness.of_host(call.layout), limit),
        asker=Asker(call.layout, config.counterpart.name, config.counterpart.address, config.counterpart.port, limit),
    )
