"""Before a resource is created or changed, and after a creation that failed: a look at the platform.

The looks themselves are given by the caller: nothing here talks to a cloud. Hooks run during an update only, never in a preview, and only
for resources that are about to be created or changed, so a run that changes roles asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pulumi

from contract.errors import Refused

LOOKS_AT_ONCE = 8
Inputs = Mapping[str, Any]


class Looks(Protocol):
    """Who looks, for resources of which types (Pulumi's tokens)."""

    created: Collection[str]
    changed: Collection[str]
    failed: Collection[str]

    def clear(self, kind: str, inputs: Inputs) -> list[str]:
        """For one about to be created. Returns what to tell the operator; raises Refused, and then it is not created."""
        ...

    def check(self, kind: str, identity: str, old: Inputs, new: Inputs) -> list[str]:
        """For one about to be given other inputs. Returns what to tell; raises Refused, and then it is not changed."""
        ...

    def explain(self, kind: str, inputs: Inputs) -> list[str]:
        """For one that could not be created. Returns what to tell."""
        ...


def watch(looks: Looks) -> None:
    """For every resource of these types in the stack."""
    # Threads of our own: those of the event loop are all held by registrations that wait for this very look.
    threads = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="leftovers")

    async def ask(look: Callable[..., list[str]], *arguments: Any) -> list[str]:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, look, *arguments)
        except Refused as error:
            raise pulumi.RunError(str(error)) from None

    async def clear(args: pulumi.ResourceHookArgs) -> None:
        for sentence in await ask(looks.clear, args.type, args.new_inputs or {}):
            pulumi.log.warn(sentence)

    async def check(args: pulumi.ResourceHookArgs) -> None:
        for sentence in await ask(looks.check, args.type, args.id, args.old_inputs or {}, args.new_inputs or {}):
            pulumi.log.warn(sentence)

    async def explain(args: pulumi.ErrorHookArgs) -> bool:
        if args.failed_operation == "create":
            for sentence in await ask(looks.explain, args.type, args.new_inputs or {}):
                pulumi.log.error(sentence)
        return False  # not again by itself

    before, changing, failing = (
        pulumi.ResourceHook("leftovers", clear),
        pulumi.ResourceHook("before-change", check),
        pulumi.ErrorHook("failures", explain),
    )

    def with_hooks(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        bound = pulumi.ResourceHookBinding(
            before_create=[before] if args.type_ in looks.created else None,
            before_update=[changing] if args.type_ in looks.changed else None,
            on_error=[failing] if args.type_ in looks.failed else None,
        )
        merged = pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(hooks=bound))
        return pulumi.ResourceTransformationResult(args.props, merged)

    pulumi.runtime.register_stack_transformation(with_hooks)
