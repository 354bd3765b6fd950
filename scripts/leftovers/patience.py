"""How a look asks: without hurry, again where an answer may only be late, and with one sentence for an answer in another shape than documented."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TypeVar

from contract.errors import Failed
from scripts.clients.openstack import ApiDown

T = TypeVar("T")
# One call. A look that gives up lets the creation run into what it should have seen; only a fence is in a hurry.
ANSWER_S = 45.0
TRIES, REST_S = 3, 3.0


def passing(error: ApiDown) -> bool:
    """May the same question be answered a moment later? No answer, too many questions, and what the platform calls its own fault."""
    return error.status in (None, HTTPStatus.TOO_MANY_REQUESTS) or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def patiently(look: Callable[[], T]) -> T:
    """Asks again where that may help, TRIES times in all. Raises ApiDown with the last refusal, and whatever else `look` raises."""
    for _ in range(TRIES - 1):
        try:
            return look()
        except ApiDown as error:
            if not passing(error):
                raise
        time.sleep(REST_S)
    return look()


@contextmanager
def documented() -> Iterator[None]:
    """Around what reads an answer: one without what its documentation promises is told as such. Raises Failed."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Failed(
            f"the answer of the API has not the shape that its documentation promises ({type(error).__name__}: {error}); nothing was removed"
        ) from None
