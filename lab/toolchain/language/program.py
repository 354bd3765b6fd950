"""Run one Pulumi program. Started by `host.py` in the program's interpreter, with the settings as JSON on stdin.

Exit codes: 0 done; 1 the program raised `pulumi.RunError`, whose text the user has seen; 32 any other error, reported with its traceback.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import runpy
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ALREADY_REPORTED = 32
_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """End this process when the host ends, however that happens: a program without an engine waits for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def users_traceback(error: BaseException, program: str) -> str:
    """The traceback from the program's own first line on: what called it is not the user's."""
    main = str(Path(program) / "__main__.py") if Path(program).is_dir() else program
    frames = traceback.extract_tb(error.__traceback__)
    own = next((index for index, frame in enumerate(frames) if frame.filename == main), 0)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=own - len(frames)))


def execute(program: str) -> None:
    """Run the program as `python <program>` would. Its globals are dropped: what `run_in_stack` is given back it takes for outputs."""
    runpy.run_path(program, run_name="__main__")


def start(settings: dict[str, Any], pulumi: Any) -> int:
    """Run the program in a stack of its own and return the exit code."""
    program = settings["program"]
    if Path(program).is_dir() and not Path(program, "__main__.py").is_file():
        pulumi.log.error(f"unable to find main python program `.__main__.py` in `{program}`")
        return ALREADY_REPORTED
    sys.argv = [program, *settings["arguments"]]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    workers = ThreadPoolExecutor(max_workers=max(settings["parallel"], 1) * 4)
    loop.set_default_executor(workers)
    # A program that fails leaves futures that nobody awaits; asyncio would complain of each.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: execute(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:
        pulumi.log.error("Program failed with an unhandled exception:\n" + users_traceback(error, program))
        return ALREADY_REPORTED
    finally:
        workers.shutdown(wait=True)
        loop.close()
    return 0


def main() -> int:
    """Read the settings, connect the SDK to the engine, run."""
    # The engine ends what is left of a run with SIGINT: that is no error of the program, and a traceback of it would look like one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings = json.load(sys.stdin)
    die_with(settings["parent"])
    try:
        import pulumi  # noqa: PLC0415
        import pulumi.runtime  # noqa: PLC0415
    except ImportError as error:
        print(
            f"{sys.executable}: {error}; install the program's packages: pip install -r requirements.txt",
            file=sys.stderr,
        )
        return 1
    pulumi.runtime.set_all_config(settings["config"], settings["secret_keys"])
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=settings["monitor"],
            engine=settings["engine"],
            project=settings["project"],
            stack=settings["stack"],
            organization=settings["organization"],
            parallel=settings["parallel"],
            dry_run=settings["dry_run"],
            root_directory=settings["root_directory"],
        )
    )
    return start(settings, pulumi)


if __name__ == "__main__":
    # Not os._exit: what the program registered to run at its end must run.
    sys.exit(main())
