"""Octavia's one change at a time: who goes PENDING, what the machinery is told, how it ends.

A change puts the balancer and everything that it touches into PENDING_* at once. The machinery then gets the whole wanted state. When
it is done all of them are ACTIVE again (or gone). When it fails the record that was changed is in ERROR and the rest ACTIVE; a balancer
that could not be made, changed as a whole or deleted is in ERROR itself, and one that could not be made has lost its VIP port.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab.cloud.backend import BackendError
from lab.cloud.loadbalancer import models, vip
from lab.cloud.loadbalancer.spec import balancer_spec
from lab.cloud.network.resource import Change
from lab.cloud.state import Cloud, Record, stamp
from lab.cloud.web import ApiError

log = logging.getLogger("lab.cloud.loadbalancer")


@dataclass(frozen=True)
class Step:
    """One record of a change. `kind` as in `models.STORES`."""

    kind: str
    record: Record
    status: str  # PENDING_CREATE, PENDING_UPDATE, PENDING_DELETE


class Provisioner:
    """The worker behind one region's Octavia. `fail_next`: each text makes one of the next changes fail, in order."""

    def __init__(self, cloud: Cloud, region: str) -> None:
        self.cloud, self.region = cloud, region
        self.fail_next: list[str] = []

    def child(self, balancer: Record, steps: Iterable[Step], touched: Iterable[tuple[str, Record]]) -> None:
        """Start a change of children. `touched`: what else is PENDING_UPDATE meanwhile, besides the balancer. Under the lock."""
        changed = list(steps)
        waiting = [*touched, ("loadbalancer", balancer)]
        self._mark(changed, waiting)
        done = [(step.kind, step.record) for step in changed if step.status != "PENDING_DELETE"] + waiting
        gone = [step for step in changed if step.status == "PENDING_DELETE"]

        def succeed() -> None:
            for step in gone:
                self._forget(step)
            self._set(done, "ACTIVE")

        def fail() -> None:
            self._set(waiting, "ACTIVE")
            self._set([(step.kind, step.record) for step in changed], "ERROR")

        self._start(balancer, self._ensure, succeed, fail)

    def whole(self, balancer: Record, status: str) -> None:
        """Start the creation, change or deletion of the balancer itself. Under the lock."""
        children = [
            ("listener", record) for record in models.listeners_of(self.cloud.region(self.region), balancer["id"])
        ]
        children += [("pool", record) for record in models.pools_of(self.cloud.region(self.region), balancer["id"])]
        steps = [Step("loadbalancer", balancer, status)]
        if status == "PENDING_DELETE":
            steps += [Step(kind, record, status) for kind, record in children]
        self._mark(steps, [])

        def succeed() -> None:
            if status == "PENDING_DELETE":
                for step in reversed(steps):
                    self._forget(step)
            else:
                self._set([("loadbalancer", balancer)], "ACTIVE")

        def fail() -> None:
            self._set([(step.kind, step.record) for step in steps], "ERROR")

        act = {"PENDING_CREATE": self._create, "PENDING_UPDATE": self._ensure, "PENDING_DELETE": self._delete}[status]
        self._start(balancer, act, succeed, fail)

    def _mark(self, steps: Iterable[Step], waiting: Iterable[tuple[str, Record]]) -> None:
        for _, record in waiting:
            record["provisioning_status"] = "PENDING_UPDATE"
            record["updated_at"] = stamp(style="plain")
        for step in steps:
            step.record["provisioning_status"] = step.status
            if step.status != "PENDING_CREATE":
                step.record["updated_at"] = stamp(style="plain")

    def _set(self, records: Iterable[tuple[str, Record]], status: str) -> None:
        state = self.cloud.region(self.region)
        for kind, record in records:
            if record["id"] in models.store(state, kind):
                record["provisioning_status"] = status
                record["updated_at"] = stamp(style="plain")

    def _forget(self, step: Step) -> None:
        """Take the record away, and what cannot be without it."""
        state, wanted = self.cloud.region(self.region), step.record["id"]
        models.store(state, step.kind).pop(wanted, None)
        if step.kind == "pool":
            for listener in models.users_of(state, wanted):
                listener["default_pool_id"] = None
            for store in (state.members, state.monitors):
                for child in [record["id"] for record in store.values() if record["_pool"] == wanted]:
                    del store[child]

    def _start(
        self, balancer: Record, act: Callable[[Record], None], succeed: Callable[[], None], fail: Callable[[], None]
    ) -> None:
        failure = self.fail_next.pop(0) if self.fail_next else None

        def failed(text: str) -> None:
            log.error("load balancer %s in %s: %s", balancer["id"], self.region, text)
            with self.cloud.lock:
                fail()

        def job() -> None:
            try:
                if failure is not None:
                    raise BackendError(failure)
                act(balancer)
            except (BackendError, ApiError) as error:
                if act == self._create:
                    self._clean_up(balancer)
                failed(str(error))
                return
            with self.cloud.lock:
                succeed()

        self.cloud.later(self.cloud.config.delays.balancer, job, failed)

    def _ensure(self, balancer: Record) -> None:
        with self.cloud.lock:
            spec = balancer_spec(self.cloud.region(self.region), self.region, balancer)
        self.cloud.backend.ensure_balancer(spec)

    def _create(self, balancer: Record) -> None:
        with self.cloud.lock:
            vip.allocate_machine(self.cloud, self.region, balancer)
        self._ensure(balancer)

    def _delete(self, balancer: Record) -> None:
        self.cloud.backend.delete_balancer(self.region, balancer["id"])
        self._release(balancer)

    def _release(self, balancer: Record) -> None:
        with self.cloud.lock:
            change = Change(self.cloud, self.region, balancer["project_id"])
            vip.release(change, balancer)
        change.effects.run()

    def _clean_up(self, balancer: Record) -> None:
        """After a failed creation: no address stays taken, and no half-made balancer goes on answering on one."""
        try:
            self.cloud.backend.delete_balancer(self.region, balancer["id"])
        except BackendError as error:
            log.error("load balancer %s in %s could not be cleaned up: %s", balancer["id"], self.region, error)
        self._release(balancer)
