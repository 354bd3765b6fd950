"""Before a resource is created, a look for what an interrupted run left in its place.

The look itself is given by the caller: nothing here talks to a cloud. Hooks run during an update only, never in a preview, and only
for resources that are about to be created, so a run that changes roles asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pulumi

LOOKS_AT_ONCE = 8
Clear = Callable[[str, Mapping[str, Any]], list[str]]


def clear_before_create(kinds: Collection[str], clear: Clear) -> None:
    """For every resource of these types (Pulumi's tokens) in the stack. `clear` gets type and inputs, and returns what to tell the operator."""

    # Threads of our own: those of the event loop are all held by registrations that wait for this very look.
    threads = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="leftovers")

    async def look(args: pulumi.ResourceHookArgs) -> None:
        for sentence in await asyncio.get_running_loop().run_in_executor(
            threads, clear, args.type, args.new_inputs or {}
        ):
            pulumi.log.warn(sentence)

    hook = pulumi.ResourceHook("leftovers", look)

    def with_hook(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ not in kinds:
            return None
        bound = pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_create=[hook]))
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, bound))

    pulumi.runtime.register_stack_transformation(with_hook)
