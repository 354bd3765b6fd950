"""What one GET and one PUT cost the client: boto3, obstore (where installed) and the copier's own wire, against the same two servers.

python -m benchmarks.assets_client --versitygw PATH [--count 2000] [--threads 16]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks import assets_data as data
from contract import pipes


def by_boto3(source: data.Server, target: data.Server, keys: list[str], threads: int) -> None:
    config = Config(
        max_pool_connections=threads,
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    clients: list[Any] = []
    for server in (source, target):
        end = server.document()
        session = boto3.session.Session(
            aws_access_key_id=end["access_key"], aws_secret_access_key=end["secret_key"], region_name=end["region"]
        )
        clients.append(session.client("s3", endpoint_url=end["endpoint"], config=config))

    def one(key: str) -> None:
        answer = clients[0].get_object(Bucket=data.BUCKET, Key=key)
        clients[1].put_object(
            Bucket=data.BUCKET, Key=key, Body=answer["Body"].read(), ContentType=answer["ContentType"], IfNoneMatch="*"
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, keys))


def by_wire(source: data.Server, target: data.Server, keys: list[str], threads: int) -> None:
    a, b = source.bucket(threads), target.bucket(threads)

    def one(key: str) -> None:
        answer = a.wire.ask("get", "GET", key.encode())
        headers = {"content-type": answer.headers["content-type"], "if-none-match": "*"}
        b.put(key.encode(), answer.body, headers)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, keys))


def by_obstore(source: data.Server, target: data.Server, keys: list[str], threads: int) -> None:
    # Not a dependency: measured where somebody has installed it.
    obstore, store = importlib.import_module("obstore"), importlib.import_module("obstore.store")
    ends = []
    for server in (source, target):
        end = server.document()
        ends.append(
            store.S3Store(
                data.BUCKET,
                endpoint=end["endpoint"],
                region=end["region"],
                access_key_id=end["access_key"],
                secret_access_key=end["secret_key"],
                virtual_hosted_style_request=False,
                client_options={"allow_http": True},
            )
        )

    async def all_of_them() -> None:
        places = asyncio.Semaphore(threads)

        async def one(key: str) -> None:
            async with places:
                answer = await obstore.get_async(ends[0], key)
                body = await answer.bytes_async()
                await obstore.put_async(
                    ends[1], key, body, attributes=answer.attributes, mode="create", use_multipart=False
                )

        await asyncio.gather(*(one(key) for key in keys))

    asyncio.run(all_of_them())


CLIENTS: dict[str, Callable[[data.Server, data.Server, list[str], int], None]] = {
    "boto3": by_boto3,
    "obstore": by_obstore,
    "own wire": by_wire,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versitygw", default=shutil.which("versitygw"), required=shutil.which("versitygw") is None)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=16)
    chosen = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="assets-client-"))
    servers = []
    try:
        servers = [
            data.Server(home / name, chosen.versitygw, region)
            for name, region in (("source", "gra"), ("target", "sbg"))
        ]
        data.fill(servers[0], chosen.count, 4_000, 40_000)
        keys = [data.key_of(number).decode() for number in range(chosen.count)]
        for name, copy in CLIENTS.items():
            servers[1].empty()
            wall, cpu = time.monotonic(), time.process_time()
            try:
                copy(servers[0], servers[1], keys, chosen.threads)
            except ImportError:
                print(f"  {name:10} not installed")
                continue
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
            print(
                f"  {name:10} {chosen.count / wall:6.0f} objects/s  {cpu / chosen.count * 1000:5.2f} ms of client CPU an object",
                flush=True,
            )
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    print(f"one GET and one PUT of 4-40 KB ({os.getloadavg()[0]:.1f} load)")
    sys.exit(pipes.status(main))
