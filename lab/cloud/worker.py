"""The asynchronous half of the cloud: things that happen a while after the answer was sent."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger("lab.cloud")

Failed = Callable[[str], None]


class Worker:
    """Runs jobs in a thread pool, each not before its time. Jobs of different resources run side by side.

    A job that raises is logged and its `failed` callback gets the error's text, to put it on the resource.
    """

    def __init__(self, threads: int = 16) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="cloud")
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, Callable[[], None], Failed | None]] = []
        self._order = itertools.count()
        self._running = 0
        self._closed = False
        self._clock: threading.Thread | None = None

    def later(self, delay: float, job: Callable[[], None], failed: Failed | None = None) -> None:
        """Run `job` after `delay` seconds."""
        with self._changed:
            if self._closed:
                return
            if self._clock is None:
                self._clock = threading.Thread(target=self._keep_time, name="cloud-clock", daemon=True)
                self._clock.start()
            heapq.heappush(self._queue, (time.monotonic() + delay, next(self._order), job, failed))
            self._changed.notify_all()

    def forget(self) -> None:
        """Drop the jobs that have not begun."""
        with self._changed:
            self._queue.clear()
            self._changed.notify_all()

    def settle(self, timeout: float) -> bool:
        """Wait until nothing is pending or running; False when `timeout` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._running, timeout)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify_all()
        self._pool.shutdown(wait=True)

    def _keep_time(self) -> None:
        with self._changed:
            while not self._closed:
                if not self._queue:
                    self._changed.wait()
                    continue
                due = self._queue[0][0] - time.monotonic()
                if due > 0:
                    self._changed.wait(due)
                    continue
                _, _, job, failed = heapq.heappop(self._queue)
                self._running += 1
                self._pool.submit(self._run, job, failed)

    def _run(self, job: Callable[[], None], failed: Failed | None) -> None:
        try:
            job()
        except Exception as error:
            log.exception("a background job failed")
            if failed is not None:
                failed(str(error) or type(error).__name__)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
