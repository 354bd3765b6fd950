"""The engine's way to a Python program: a gRPC server that starts it. Stands in for the published `pulumi-language-python`.

Started by the engine as `pulumi-language-python [options] <engine address>`; prints its port and serves until the engine is gone. A file
of its own beside `program.py`, which runs in the program's interpreter: neither imports anything else of this project.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]

# All of the SDK takes 0.2 s to import, its protocol stubs 0.05 s: the packages around the stubs are left out.
for _name, _folder in (("pulumi", "pulumi"), ("pulumi.runtime", "pulumi/runtime")):
    _package = types.ModuleType(_name)
    _package.__path__ = [str(Path(entry) / _folder) for entry in sys.path]
    sys.modules.setdefault(_name, _package)

from google.protobuf import empty_pb2  # type: ignore[import-untyped]  # noqa: E402
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2  # noqa: E402

# How a program says that it has already told the user what is wrong.
ALREADY_REPORTED = 32
PARENT_CHECK_S = 1.0
PROGRAM = Path(__file__).with_name("program.py")


class DrError(Exception):
    """What the operator must change before the program can run. One line."""


def interpreter(info: Any) -> str:
    """The program's interpreter: of `runtime.options.virtualenv` in Pulumi.yaml, else the one that runs this host."""
    chosen = dict(info.options).get("virtualenv", "") if info.HasField("options") else ""
    if not chosen:
        return sys.executable
    python = Path(info.root_directory or info.program_directory, chosen, "bin", "python")
    if not python.exists():
        raise DrError(
            f"Pulumi.yaml: runtime.options.virtualenv is {chosen!r}, but there is no {python}: make it or correct the option"
        )
    return str(python)


def packages(python: str) -> Iterator[Any]:
    """The plugins that the interpreter's installed SDKs name, each once."""
    if python == sys.executable:
        folders = [Path(entry) for entry in sys.path if entry]
    else:
        folders = sorted(Path(python).parent.parent.glob("lib/python3*/site-packages"))
    seen = set()
    for folder in folders:
        for file in sorted(folder.glob("*/pulumi-plugin.json")):
            plugin = json.loads(file.read_text())
            name = plugin.get("name", file.parent.name.removeprefix("pulumi_"))
            if plugin.get("resource") and name not in seen:
                seen.add(name)
                yield plugin_pb2.PackageDependency(
                    name=name, kind="resource", version=plugin.get("version", ""), server=plugin.get("server", "")
                )


def run(request: Any, engine: str, ended: Any) -> Any:
    """Run the program to its end and say how it went. `ended(callback)` registers what to do when the engine gives up."""
    child = subprocess.Popen(
        [interpreter(request.info), "-u", str(PROGRAM)], stdin=subprocess.PIPE, text=True, cwd=request.pwd or None
    )
    ended(child.kill)
    settings = {
        "program": str(Path(request.info.program_directory or request.pwd, request.info.entry_point)),
        "arguments": list(request.args),
        "config": dict(request.config),
        "secret_keys": list(request.configSecretKeys),
        "monitor": request.monitor_address,
        "engine": engine,
        "project": request.project,
        "stack": request.stack,
        "organization": request.organization,
        "parallel": request.parallel,
        "dry_run": request.dryRun,
        "root_directory": request.info.root_directory,
        "parent": os.getpid(),
    }
    # The configuration holds secrets: by a pipe, not in argv or the environment. A child that dies early says why by itself.
    with contextlib.suppress(BrokenPipeError):
        child.communicate(json.dumps(settings))
    code = child.wait()
    if code == 0:
        return language_pb2.RunResponse()
    if code == ALREADY_REPORTED:
        return language_pb2.RunResponse(bail=True)
    if code < 0:
        return language_pb2.RunResponse(error=f"Program exited due to a signal: {signal.Signals(-code).name}")
    return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {code}")


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """The protocol's answers. What is not here answers UNIMPLEMENTED: nothing in `pulumi up|preview|refresh|destroy` asks for it."""

    def __init__(self, engine: str) -> None:
        self.engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:
        self.engine = request.engine_address or self.engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo()

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        with reported(context):
            return language_pb2.GetRequiredPackagesResponse(packages=packages(interpreter(request.info)))

    def Run(self, request: Any, context: Any) -> Any:
        with reported(context):
            return run(request, self.engine, context.add_callback)

    def About(self, request: Any, context: Any) -> Any:
        with reported(context):
            python = interpreter(request.info)
        version = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=True,
        )
        return language_pb2.AboutResponse(executable=python, version=version.stdout.strip())

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        return language_pb2.GetProgramDependenciesResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        """The lab's program runs with what is installed: `make setup` installs it."""
        yield language_pb2.InstallDependenciesResponse(
            stdout=b"Nothing installed: the environment's own packages are used.\n"
        )

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


@contextlib.contextmanager
def reported(context: Any) -> Iterator[None]:
    """Send an operator's mistake to the engine as one line."""
    try:
        yield
    except (DrError, OSError, ValueError) as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


def main(arguments: list[str]) -> None:
    """Serve until the process that started this one is gone."""
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=unlimited)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(addresses[-1] if addresses else ""), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    parent = os.getppid()
    while not stopped.wait(PARENT_CHECK_S):
        if os.getppid() != parent:
            break
    server.stop(grace=None)
