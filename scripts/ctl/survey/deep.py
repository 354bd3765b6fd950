"""What `drctl check` asks besides: what the platform could take, and Pulumi's states. Side by side with the rest and within its limit; silence is unknown."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from components.render import documents
from components.render.links import openstack
from components.settings import Settings
from contract.dataclass import dataclass
from contract.sites import SITES
from scripts.clients.offer import Offer
from scripts.clients.server_states import Server, Size
from scripts.clients.state_copies import StateCopies
from scripts.clients.witness import Witness
from scripts.ctl.stacks import state_stored as stored
from scripts.ctl.stacks.state_backend import Backend, opened
from scripts.ctl.stacks.state_stored import Lock, State
from scripts.ctl.survey.known import Known, Questions
from scripts.ctl.survey.seen import Deep, Kept

ANSWER_S = 3.0  # for one answer of an API, of the witness


@dataclass(frozen=True, kw_only=True)
class Stacks:
    """`project`: as pulumi files both; `names`: of the stacks, by site."""

    project: str
    names: Mapping[str, str]


class DeepAsking:
    """One look."""

    def __init__(self, settings: Settings, questions: Questions, stacks: Stacks) -> None:
        self._settings, self._questions, self._stacks = settings, questions, stacks
        self._offers = {site: _Shared(settings, site) for site in SITES}
        self._copies = StateCopies(documents.witness(settings), answer_s=ANSWER_S, attempts=1)

    def ask(self) -> None:
        """Begins all of it."""
        ask = self._questions.ask
        ask("backend", self._backend)
        ask("witness", Witness(documents.witness(self._settings), answer_s=ANSWER_S, attempts=1).tried)
        for site in SITES:
            ask(f"room {site}", partial(self._of, site, Offer.room))
            ask(f"sizes {site}", partial(self._sizes, site))
            ask(f"image {site}", partial(self._image, site))
            ask(f"listed {site}", partial(self._listed, site))
            ask(f"locks {site}", partial(self._locks, site))
            ask(f"state {site}", partial(self._state, site))
            ask(f"copy {site}", partial(self._newest_copy, site))

    def seen(self) -> Deep:
        """What has come of it."""

        def each(name: str) -> dict[str, Known[Any]]:
            return {site: self._questions.known(f"{name} {site}") for site in SITES}

        return Deep(
            rooms=each("room"),
            sizes=each("sizes"),
            images=each("image"),
            listed=each("listed"),
            backend=self._questions.known("backend"),
            witness=self._questions.known("witness"),
            locks=each("locks"),
            states=each("state"),
            copies=each("copy"),
        )

    # --- the platform

    def _of(self, site: str, question: Any) -> Any:
        return question(self._offers[site].offer())

    def _sizes(self, site: str) -> dict[str, Size | None]:
        return self._offers[site].offer().sizes(self._settings.regions[site].flavors.values())

    def _image(self, site: str) -> str:
        return self._offers[site].offer().image(self._settings.regions[site].image_id)

    def _listed(self, site: str) -> tuple[Server, ...]:
        return tuple(self._offers[site].offer().everyone())

    # --- Pulumi's states

    def _backend(self) -> Kept:
        found = _opened()
        return Kept(place=found.place, versioned=found.versioned())

    def _locks(self, site: str) -> tuple[Lock, ...]:
        return stored.locks(_opened(), self._stacks.project, self._stacks.names[site])

    def _state(self, site: str) -> State:
        return stored.state(_opened(), self._stacks.project, self._stacks.names[site])

    def _newest_copy(self, site: str) -> float | None:
        return max((it.at for it in self._copies.copies(site)), default=None)


class _Shared:
    """One sign-in for all questions to a region: whoever comes first signs in, the others wait for it."""

    def __init__(self, settings: Settings, site: str) -> None:
        self._offer = Offer(openstack(settings), settings.regions[site].compute_region, answer_s=ANSWER_S)
        self._lock, self._connected = threading.Lock(), False

    def offer(self) -> Offer:
        """Raises ApiDown."""
        with self._lock:
            if not self._connected:
                self._offer.connect()
                self._connected = True
        return self._offer


def _opened() -> Backend:
    return opened(os.environ, Path.home())
