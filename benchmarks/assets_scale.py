"""Planner alone, on simulated listings: is a key's cost the same for ten thousand and for a million?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# (keys, ranges listed side by side): one range shows what a key costs, four are what so many keys get where nobody says otherwise.
SIZES = ((10_000, 1), (100_000, 1), (1_000_000, 1), (1_000_000, 4))
# In a process of its own, so that the peak is that of this size alone.
CHILD = """
import json, resource, sys, threading, time
from pathlib import Path
from scripts.assets.config import Endpoint, Job, Options
from scripts.assets.sync import Run
count, folder = int(sys.argv[1]), Path(sys.argv[2])
more = {"region": "r", "bucket": "bench", "access_key": "k", "secret_key": "s"}
ends = {name: Endpoint(name=name, endpoint=f"http://{name}.invalid", **more) for name in ("source", "target")}
PAGE = 1000
def page(query):
    number = int(query.get("continuation-token", "0"))
    if "start-after" in query:
        number = int(bytes(query["start-after"])[1:]) + 1
    last = min(number + PAGE, count)
    rows = "".join(
        f"<Contents><Key>k{n:012d}</Key><LastModified>2026-11-25T10:00:00.000Z</LastModified><ETag>&quot;{n:032x}&quot;</ETag><Size>1000</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>" for n in range(number, last))
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>" if last < count else "<IsTruncated>false</IsTruncated>"
    return f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>{more}{rows}</ListBucketResult>'.encode()
def run():
    one = Run(Job(**ends, state_dir=folder, options=Options(carry_acl="never", shards=int(sys.argv[4]))))
    for bucket in (one.source, one.target):
        bucket.wire.ask = lambda operation, method, key=b"", query=None, headers=None, **more: type("A", (), {"body": page(query)})()
    begun, cpu = time.perf_counter(), time.process_time()
    report = one.sync(lambda _: None)
    if report.error or report.counts.source != count:
        raise SystemExit(f"scale: {report.error}, {report.counts}")
    seconds = time.perf_counter() - begun, time.process_time() - cpu
    one.close()
    return seconds
if sys.argv[3] == "prepare":
    # The manifest of a run before: every pair known.
    from scripts.assets.listing import Entry
    from scripts.assets.state import State
    from scripts.assets.sync import pair_name
    state = State(folder, pair_name(Job(**ends, state_dir=folder)))
    for n in range(count):
        entry = Entry(b"k%012d" % n, 1000, f"{n:032x}", "2026-11-25T10:00:00.000Z")
        state.record(entry, entry, entry.etag, "")
    state.close()
else:
    wall, cpu = run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"keys": count, "wall_s": wall, "cpu_s": cpu, "us_per_key": cpu / count * 1e6, "peak_mib": peak}))
"""


def scale() -> list[dict[str, Any]]:
    """Prints a line a size; the cost of making the simulated pages is in it."""
    rows = []
    print("scale: nothing changed, listings of both sides simulated (made and parsed in the same process)")
    for count, ranges in SIZES:
        with tempfile.TemporaryDirectory(prefix="assets-scale-") as folder:
            for step in ("prepare", "run"):
                argv = [sys.executable, "-c", CHILD, str(count), folder, step, str(ranges)]
                done = subprocess.run(
                    argv, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1], check=False
                )
                if done.returncode:
                    raise SystemExit(f"benchmark: scale of {count} ended with {done.returncode}: {done.stderr[-2000:]}")
        row = {"ranges": ranges, **json.loads(done.stdout)}
        rows.append(row)
        print(
            f"  {row['keys']:9,} keys in {ranges}  {row['wall_s']:6.2f} s  {row['us_per_key']:5.1f} us of CPU a key  peak {row['peak_mib']:5.1f} MiB",
            flush=True,
        )
    return rows
