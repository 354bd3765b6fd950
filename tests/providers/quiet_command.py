"""A `command` plugin that reaches no host: every command succeeds, the fence answers with an epoch. For tests of all the rest of the program.

Started by the engine like any plugin; prints its port. It keeps what the published one does with the engine: a changed trigger replaces,
any other change updates.
"""

from __future__ import annotations

import json
import subprocess
import threading
from concurrent import futures
from typing import Any

import grpc  # type: ignore[import-untyped]  # no types come with it
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]  # nor with this
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

VERSION = "1.2.1"
ID = "quiet"
EPOCH = {
    "schema": 1,
    "epoch": 1,
    "active": "a",
    "previous": None,
    "planned": True,
    "checkpoint": None,
    "fence": {"rung": 0},
}


class Quiet(provider_pb2_grpc.ResourceProviderServicer):
    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = dict(request.old_inputs), dict(request.news)
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        kind = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=kind, diffs=changed, replaces=[key for key in changed if key == "triggers"]
        )

    def Create(self, request: Any, context: Any) -> Any:
        return provider_pb2.CreateResponse(
            id="" if request.preview else ID, properties=_answered(request.urn, request.properties)
        )

    def Read(self, request: Any, context: Any) -> Any:
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: Any, context: Any) -> Any:
        return provider_pb2.UpdateResponse(properties=_answered(request.urn, request.news))

    def Delete(self, request: Any, context: Any) -> Any:
        """A `delete` is run, as the published one does: what it answers decides whether the rest goes."""
        told = {key: _plain(value) for key, value in dict(request.properties).items()}
        if told.get("delete"):
            done = subprocess.run(
                ["sh", "-c", told["delete"]], input=told.get("stdin"), capture_output=True, text=True, check=False
            )
            if done.returncode:
                context.abort(grpc.StatusCode.UNKNOWN, f"exit status {done.returncode}: {done.stderr}")
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        self._ended.set()
        return empty_pb2.Empty()


def _answered(urn: str, inputs: Any) -> Any:
    outputs = struct_pb2.Struct()
    outputs.CopyFrom(inputs)
    if ":Command::" in urn:
        outputs["stdout"] = json.dumps(EPOCH if urn.endswith("::fence-claim") else {})
        outputs["stderr"] = ""
    return outputs


def _plain(value: Any) -> Any:
    """What is under the engine's mark of a secret."""
    return value["value"] if isinstance(value, struct_pb2.Struct) and "value" in value else value


def main() -> None:
    """Serves until the engine ends the run."""
    ended = threading.Event()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Quiet(ended), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    ended.wait()
    server.stop(1)


if __name__ == "__main__":
    main()
