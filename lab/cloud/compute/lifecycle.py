"""A server's life: building, power, reboot, deletion. Each change goes on in the background, state by state, as Nova shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.cloud.backend import BackendError, ServerSpec
from lab.cloud.compute import errors, records
from lab.cloud.identity import models as identity
from lab.cloud.network import ports
from lab.cloud.state import Cloud, Record, stamp
from lab.cloud.volume import models as volumes
from lab.cloud.web import Call

log = logging.getLogger("lab.cloud")

Step = Callable[[Record], None]


class Gone(Exception):
    """The server is being deleted: whatever was going on for it ends here."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """`task` while it goes on, `call` of the backend (None: the machine goes on as it is), and the states that it ends in."""

    task: str | None
    call: str | None
    vm: str
    power: int


class Lifecycle:
    """The background changes of one region's servers. Its methods are called under the cloud's lock and return at once."""

    def __init__(self, cloud: Cloud, region: str) -> None:
        self.cloud, self.region = cloud, region

    def build(self, server: Record) -> None:
        """scheduling, then no task (a host is chosen), networking, block_device_mapping (ports are bound meanwhile), spawning, ACTIVE."""

        def task(name: str | None) -> Step:
            return lambda item: self._task(item, name)

        def bind(nic: Record) -> Step:
            return lambda item: self._bind(item, nic)

        bindings = [bind(nic) for nic in server["_nics"]] or [task("block_device_mapping")]
        steps = (self._schedule, task(None), task("networking"), *bindings, task("spawning"), self._spawn)
        self._go(server, steps, lambda text: self._build_failed(server, text))

    def change(self, server: Record, change: Change) -> None:
        """One change of a server that exists: its task at once, the machine and the new state a while later."""
        records.set_state(server, task=change.task)
        if change.vm == records.ACTIVE and not server["host"]:
            server["host"] = records.choose_host(self.cloud, self.region, server) or ""

        def run(item: Record) -> None:
            self._tell(item, change.call)
            self._rest(item, vm=change.vm, power=change.power)

        self._go(server, (run,), lambda text: self._failed(server, text))

    def resize(self, server: Record, flavor_id: str) -> None:
        """Another size, on another hypervisor: the machine boots again if it ran, and waits for a word in VERIFY_RESIZE."""
        on = server["vm_state"] == records.ACTIVE
        records.set_state(server, task="resize_prep")

        def task(name: str) -> Step:
            return lambda item: self._task(item, name)

        def finish(item: Record) -> None:
            self._tell(item, "reboot_server" if on else None)
            with self.cloud.lock:
                item["_old_flavor"], item["flavor_id"] = item["flavor_id"], flavor_id
            self._rest(item, vm=records.RESIZED, power=item["power_state"])

        steps = (task("resize_migrating"), task("resize_migrated"), task("resize_finish"), finish)
        self._go(server, steps, lambda text: self._failed(server, text))

    def revive(self, server: Record) -> None:
        """A hypervisor that was dead is back and does what it was told meanwhile."""
        orders, server["_orders"] = server["_orders"] or [], None
        for order in orders:
            order()

    def reboot(self, server: Record, *, hard: bool) -> None:
        suffix = "_hard" if hard else ""
        records.set_state(server, task="rebooting" + suffix)

        def started(item: Record) -> None:
            self._task(item, "reboot_started" + suffix)

        def again(item: Record) -> None:
            self._tell(item, "reboot_server", hard)
            self._rest(item, vm=records.ACTIVE, power=records.RUNNING)

        steps = (lambda item: self._task(item, "reboot_pending" + suffix), started, again)
        self._go(server, steps, lambda text: self._failed(server, text))

    def delete(self, server: Record) -> None:
        """Gives back ports and volumes. Without a host there is nothing to undo, so the server is gone at once."""
        if server["task_state"] == "deleting":
            return
        if server["vm_state"] == records.ERROR and not server["host"]:
            self._forget(server["id"])
            return
        records.set_state(server, task="deleting")

        steps = (self._destroy, self._disconnect, self._end, lambda item: self._forget(item["id"]))

        def stuck(text: str) -> None:
            with self.cloud.lock:
                records.set_fault(server, text)

        def run(index: int) -> None:
            steps[index](server)
            if index + 1 < len(steps):
                self.cloud.later(self.cloud.config.delays.server, lambda: run(index + 1), stuck)

        self.cloud.later(self.cloud.config.delays.server, lambda: run(0), stuck)

    def refresh(self, server: Record) -> None:
        """See whether the machine still runs, and show it when it does not (or does again). Called without the cloud's lock."""
        with self.cloud.lock:
            idle = server["task_state"] is None
            watched = idle and (
                server["vm_state"] == records.ACTIVE or (server["vm_state"] == records.STOPPED and server["_crashed"])
            )
            before = server["updated"], server["vm_state"]
        if not watched:
            return
        try:
            running = self.cloud.backend.server_running(self.region, server["id"])
        except BackendError as error:
            log.warning("compute %s: whether server %s runs is unknown: %s", self.region, server["id"], error)
            return
        with self.cloud.lock:
            if server["task_state"] is not None or (server["updated"], server["vm_state"]) != before:
                return
            if not running and server["vm_state"] == records.ACTIVE:
                records.set_state(server, vm=records.STOPPED, power=records.SHUTDOWN)
                server["_crashed"] = True
            elif running and server["vm_state"] == records.STOPPED:
                records.set_state(server, vm=records.ACTIVE, power=records.RUNNING)
                server["_crashed"] = False

    def _tell(self, server: Record, call: str | None, *more: bool) -> None:
        """Ask the backend for `call` about the server, unless a deletion has come in between. None: nothing to ask for."""
        with server["_machine"]:
            self._live(server)
            if call is not None:
                orderly = (False,) if call == "reboot_server" and not more else more
                getattr(self.cloud.backend, call)(self.region, server["id"], *orderly)

    def _go(self, server: Record, steps: Sequence[Step], failed: Callable[[str], None]) -> None:
        """Run the steps one after the other, each after the configured rest, until one fails or the server is being deleted.

        While the hypervisor is dead they wait, and the server stays in its task.
        """

        def run(index: int) -> None:
            try:
                self._live(server)
                steps[index](server)
            except Gone:
                log.info(
                    "compute %s: server %s is being deleted, its building or power change ends",
                    self.region,
                    server["id"],
                )
                return
            if index + 1 < len(steps):
                self.cloud.later(self.cloud.config.delays.server, lambda: run(index + 1), failed)

        def begin() -> None:
            self.cloud.later(self.cloud.config.delays.server, lambda: run(0), failed)

        if server["_orders"] is None:
            begin()
        else:
            server["_orders"].append(begin)

    def _live(self, server: Record) -> None:
        with self.cloud.lock:
            if server["task_state"] == "deleting" or server["vm_state"] == records.DELETED:
                raise Gone

    def _task(self, server: Record, task: str | None) -> None:
        with self.cloud.lock:
            self._live(server)
            records.set_state(server, task=task)

    def _rest(self, server: Record, *, vm: str, power: int) -> None:
        """The end of a change, unless a deletion has come in between."""
        with self.cloud.lock:
            self._live(server)
            records.set_state(server, vm=vm, power=power)
            server["_crashed"] = False
            if vm == records.SHELVED_OFFLOADED:
                server["host"] = ""

    def _schedule(self, server: Record) -> None:
        with self.cloud.lock:
            host = records.choose_host(self.cloud, self.region, server)
            if host is None:
                raise BackendError(errors.NO_HOST)
            server["host"], server["zone"] = host, self.cloud.settings(self.region).zone
            self._task(server, "scheduling")

    def _bind(self, server: Record, nic: Record) -> None:
        """Bind the port that was given, or make one when only its network was named."""
        self._task(server, "block_device_mapping")
        port_id = nic.get("port") or self._make_port(server, nic)
        ports.bind_port(self.cloud, self.region, port_id, server["id"], self.cloud.settings(self.region).zone)
        try:
            with self.cloud.lock:
                server["ports"].append(port_id)
                self._live(server)
        except Gone:
            self._release(server)
            raise

    def _make_port(self, server: Record, nic: Record) -> str:
        wanted: Record = {"network_id": nic["network"], "device_id": server["id"]}
        if nic["fixed_ip"]:
            wanted["fixed_ips"] = [{"ip_address": nic["fixed_ip"]}]
        if server["_groups"]:
            wanted["security_groups"] = server["_groups"]
        port_id = str(self._neutron(server, "POST", "/v2.0/ports", {"port": wanted})["port"]["id"])
        with self.cloud.lock:
            server["_made_ports"].append(port_id)
        return port_id

    def _neutron(self, server: Record, method: str, path: str, body: Record | None = None) -> Record:
        """Ask Neutron in the name of the server's owner, whose own token may have expired. 404 is taken as done."""
        owner = next(user for user in self.cloud.config.users if user.id == server["user_id"])
        with self.cloud.lock:
            token = identity.issue(self.cloud, owner, self.cloud.config.project_id, ("password",))
        try:
            call = Call(
                method=method, path=path, query={}, headers={"x-auth-token": token.id}, body=body, raw=b"", url=path
            )
            reply = self.cloud.services["network", self.region].handle(call)
        finally:
            with self.cloud.lock:
                self.cloud.tokens.pop(token.id, None)
        if reply.status >= 400 and reply.status != 404:
            detail = (
                (reply.body or {})
                .get("NeutronError", {})
                .get("message", f"{method} {path} was answered with {reply.status}")
            )
            raise BackendError(f"Failed to allocate the network(s), not rescheduling: {detail}")
        return dict(reply.body or {})

    def _spawn(self, server: Record) -> None:
        for port_id in server["ports"]:
            ports.apply_rules(self.cloud, self.region, port_id)
        spec = ServerSpec(
            region=self.region,
            server_id=server["id"],
            name=server["name"],
            nics=tuple(ports.nic_of(self.cloud, self.region, port_id) for port_id in server["ports"]),
            user_data=server["_user_data"],
            key=server["_key"],
            metadata=dict(server["metadata"]),
            image_id=server["image_id"],
        )
        with server["_machine"]:
            self._live(server)
            self.cloud.backend.boot_server(spec)
        with self.cloud.lock:
            server["launched_at"] = stamp(style="micro")
            server["_shown"] = True
            self._rest(server, vm=records.ACTIVE, power=records.RUNNING)

    def _build_failed(self, server: Record, text: str) -> None:
        """A server that could not be built holds neither ports nor addresses."""
        self._failed(server, text)
        self._release(server)
        with self.cloud.lock:
            server["ports"] = []

    def _failed(self, server: Record, text: str) -> None:
        """ERROR, unless the server is on its way out anyway."""
        with self.cloud.lock:
            if server["task_state"] != "deleting" and server["vm_state"] != records.DELETED:
                records.set_fault(server, text)

    def _destroy(self, server: Record) -> None:
        """The machine goes, then its ports are free; addresses are shown a little longer, as Nova's cache does."""
        with server["_machine"]:
            self.cloud.backend.delete_server(self.region, server["id"])
        self._release(server)

    def _disconnect(self, server: Record) -> None:
        with self.cloud.lock:
            server["ports"] = []

    def _end(self, server: Record) -> None:
        with self.cloud.lock:
            state = self.cloud.region(self.region)
            server["_held"] = records.attachments(state, server["id"])
            for item in server["_held"]:
                del state.attachments[item["id"]]
                if item["volume_id"] in state.volumes:
                    volumes.released(state.volumes[item["volume_id"]])
            records.set_state(server, vm=records.DELETED, power=records.NO_STATE)
            server["terminated_at"] = stamp(style="micro")

    def _release(self, server: Record) -> None:
        """Given ports stay, without a device; made ones go."""
        with self.cloud.lock:
            mine, made = list(server["ports"]), list(server["_made_ports"])
            server["_made_ports"] = []
        for port_id in dict.fromkeys([*mine, *made]):
            ports.unbind_port(self.cloud, self.region, port_id)
        for port_id in made:
            self._neutron(server, "DELETE", f"/v2.0/ports/{port_id}")

    def _forget(self, server_id: str) -> None:
        with self.cloud.lock:
            self.cloud.region(self.region).servers.pop(server_id, None)
