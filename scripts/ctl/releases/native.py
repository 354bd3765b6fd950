"""Whether the native extensions that a release brings can be loaded by this machine's Ruby.

Each is opened by a process of its own with every symbol resolved (dlopen with RTLD_NOW): a library that lacks, an interface that another Ruby has, a
file of another architecture show. It is not required: what its own Ruby half does when it is loaded has not been tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from contract.errors import Refused
from contract.plain import phrase
from scripts.ctl.releases.child import Child

# Reads paths on stdin, a line each; prints a JSON list of those that could not be opened, with the reason.
_OPEN = r"""
require "fiddle"
require "json"
wrong = STDIN.read.split("\n").filter_map do |path|
  reader, writer = IO.pipe
  pid = fork do
    reader.close
    Fiddle::Handle.new(path, Fiddle::Handle::RTLD_NOW)
    exit!(0)
  rescue Exception => error
    writer.write(error.message[0, 400])
    writer.close
    exit!(1)
  end
  writer.close
  said = reader.read
  _, status = Process.wait2(pid)
  [path, said.empty? ? "ended with #{status.inspect[/\(.*|SIG\w+.*|exit \d+/] || 'a fault'}" : said] unless status.success?
end
STDOUT.write(JSON.generate(wrong))
"""


def check(child: Child, libraries: Iterable[Path]) -> int:
    """How many there are. Raises Refused where one cannot be opened."""
    paths = sorted({str(it.resolve()) for it in libraries})
    if not paths:
        return 0
    said = child.run("native extensions", ["ruby", "-e", _OPEN], stdin="\n".join(paths).encode())
    wrong = [(str(path), str(why)) for path, why in json.loads(said)]
    if wrong:
        path, why = wrong[0]
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise Refused(
            f"native extension {Path(path).name}: cannot be loaded ({phrase(why, 300)}){more}, wanted every one to load under the hosts' Ruby; no release was "
            "made; install what it is built on, on hosts too (docs/releases.md), or build where the hosts' Debian is"
        )
    return len(paths)
