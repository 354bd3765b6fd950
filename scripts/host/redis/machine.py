"""What the kernel of a cache host should be set to, and the memory that the cache may come to need: warnings, never a refusal."""

from __future__ import annotations

from ..frame.layout import Layout

OVERCOMMIT, HUGE_PAGES, MEMORY = (
    "/proc/sys/vm/overcommit_memory",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/proc/meminfo",
)


def warnings(layout: Layout, needed: int) -> list[str]:
    """One line for each setting that is dangerous here; `needed`: bytes that data and buffers may grow to. What cannot be read is passed over."""
    found = []
    overcommit = _text(layout, OVERCOMMIT)
    if overcommit is not None and overcommit.strip() != "1":
        found.append(
            f"vm.overcommit_memory: found {overcommit.strip()}, wanted 1; a full copy or a saved file forks the server, and the kernel may refuse that "
            "although memory is free; write `vm.overcommit_memory = 1` into /etc/sysctl.d/dr-redis.conf and run `sysctl --system`"
        )
    huge = _text(layout, HUGE_PAGES)
    if huge is not None and "[always]" in huge:
        found.append(
            "transparent huge pages: found always, wanted madvise or never; every fork copies memory in large pieces and writers wait for it; "
            f"`echo madvise > {HUGE_PAGES}` at each boot"
        )
    total = _total(_text(layout, MEMORY))
    if total is not None and needed > total:
        found.append(
            f"memory of this host: found {total} bytes, wanted {needed} for data, backlog and a replica's buffer; the kernel would kill the cache "
            "under load; lower dr:redis maxmemory, write_rate or bridge_s, or take a larger flavor"
        )
    return found


def disk_warning(free: int | None, needed: int) -> str | None:
    """What is said of a disk with less than `needed` bytes free: the files are written anew from time to time, beside the old ones."""
    if free is None or free >= needed:
        return None
    return (
        f"disk of this cache: found {free} bytes free, wanted {needed} to write all of the data anew; a master refuses writes once nothing is left, and "
        "what a replica holds is in memory alone; free the disk, or take a larger one (host_generation)"
    )


def _text(layout: Layout, path: str) -> str | None:
    try:
        return layout.at(path).read_text()
    except OSError:
        return None


def _total(text: str | None) -> int | None:
    line = next((line for line in (text or "").splitlines() if line.startswith("MemTotal:")), None)
    return int(line.split()[1]) * 1024 if line else None
