"""Both sides' listings side by side, read and thrown away: nothing that compares by listing can be quicker on these servers.

python -m benchmarks.assets_floor JOB.json
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contract import pipes
from scripts.assets.config import Endpoint, Job, parse
from scripts.assets.listing import documents
from scripts.assets.store import Bucket


def answers(job: Job, end: Endpoint) -> int:
    """How many list requests the bucket took."""
    bucket = Bucket(end, job.options, threading.Event())
    try:
        return sum(1 for _ in documents(lambda query: bucket.wire.ask("list", "GET", query=query).body, end))
    finally:
        bucket.close()


def main() -> int:
    job = parse(json.loads(Path(sys.argv[1]).read_text()))
    with ThreadPoolExecutor(2) as pool:
        print(*pool.map(lambda end: answers(job, end), (job.source, job.target)))
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
