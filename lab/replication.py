"""The platform's replication in the running lab: carries out the rules of the OVHcloud API, and puts a front before each region that has one."""

from __future__ import annotations

import logging
import os
import threading
from functools import partial

from lab.cloud.backend import BackendError
from lab.cloud.ovh import OvhService
from lab.cloud.ovh.containers import enabled_rules, end_job
from lab.machines.shell import nft
from lab.s3.gateway import Storage
from lab.s3.liar import Liar, redirection
from lab.s3.replication import Replicator, front

log = logging.getLogger("lab.replication")
PORT, TABLE, AFTER_LIES = 7072, "lab_replication", 10
PERIOD_S = 1.0
LAG_S = 20.0  # the platform says about 15 minutes; `DRLAB_REPLICATION_LAG_S` says otherwise


class Replication:
    """One thread; it ends with the lab's process. A region keeps its front once it has had a rule: statuses are told after the rule is gone."""

    def __init__(self, ovh: OvhService, storage: Storage) -> None:
        lag_s = float(os.environ.get("DRLAB_REPLICATION_LAG_S", LAG_S))
        self._ovh, self._storage = ovh, storage
        self.replicator = Replicator(
            storage, lambda: enabled_rules(ovh), lag_s, ended=lambda place: end_job(ovh, place)
        )
        self._fronts: dict[str, Liar] = {}
        self._over = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="replication", daemon=True).start()

    def _run(self) -> None:
        while not self._over.wait(PERIOD_S):
            try:
                self._put_fronts(
                    {region for rule in enabled_rules(self._ovh) for region in (rule.source[0], rule.target[0])}
                )
                self.replicator.step()
            except (BackendError, OSError) as error:
                log.error("replication: %s; tried again in %g s", error, PERIOD_S)

    def _put_fronts(self, regions: set[str]) -> None:
        fresh = sorted(regions - set(self._fronts))
        for region in fresh:
            address = self._storage.addresses[region]
            self._fronts[region] = front(address, (address[0], PORT), partial(self._status, region))
            self._fronts[region].start()
        if fresh:
            nft(
                "replication",
                redirection(
                    (self._storage.addresses[region] for region in sorted(self._fronts)), TABLE, PORT, AFTER_LIES
                ),
            )

    def _status(self, region: str, bucket: str, key: str, version: str) -> str | None:
        return self.replicator.status((region, bucket), key, version)
