"""`dr-assets offsite`: a copy that outlives the account of its source. Somebody else's machine pulls it, with a key that only reads there.

Nothing is ever removed: what the source loses stays, what is written over stays as a version. So the target has to be versioned, and ought to be
locked against its own key too.
"""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

from contract.errors import Refused

from .bucket import Settings
from .config import Job
from .store import Bucket


def kept(job: Job) -> Job:
    """The job without what could take something away, or that a reader may not ask; what is sent is what a locked bucket takes."""
    return replace(job, options=replace(job.options, deletes=False, carry_acl="never", part_md5=True), bucket=None)


def prepared(job: Job) -> str:
    """How the target is locked, see `bucket.Settings.lock`. Raises Refused where it is not versioned."""
    with closing(Bucket(job.target, job.options, threading.Event())) as target:
        if not target.versioned():
            raise Refused(
                f"{job.target.place}: is not versioned, wanted a bucket with versions and a lock; one that is written over at the source would be lost here "
                "as well; nothing was copied; switch versions on, or make another bucket (docs/offsite.md)"
            )
    with closing(Settings(job.target, job.options)) as settings:
        return settings.lock(1)
