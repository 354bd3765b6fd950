"""`python -m lab.toolchain`: find or build every tool of the lab and say where it is."""

from __future__ import annotations

import sys

from contract import pipes
from lab.progress import work_through
from lab.toolchain import cache, tools
from lab.toolchain.go import ToolchainError


def main() -> int:
    """Print one line per tool, on stderr how far the building is. Exit 1, with the reason, when one cannot be had."""
    try:
        work_through("tools", tools.tasks(lambda: sys.executable), sys.stderr, say_there=False)
        toolchain = tools.ensure()
    except (ToolchainError, cache.CacheError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"pulumi     {toolchain.pulumi}")
    print(f"versitygw  {toolchain.versitygw}")
    print(f"plugins    {toolchain.home / 'plugins'}")
    for plugin in sorted((toolchain.home / "plugins").glob("resource-*/pulumi-resource-*")):
        print(f"           {plugin.parent.name} -> {plugin.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
