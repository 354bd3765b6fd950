"""From a seed to a story. Pure: the same seed, the same story."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from lab.rehearsal.chaos.catalogue import ROWS, clash
from lab.rehearsal.chaos.story import HERE, Harm, Move, Story

BEFORE, WITHIN, AFTER = (-15.0, -1.0), (0.0, 25.0), (25.0, 45.0)
EVE = (-8.0, 3.0)
LASTS = (2.0, 45.0)
LOSSES = (("region-hosts", HERE), ("region", HERE), ("host", f"db-1.{HERE}"), ("uplink", HERE))
KEYS = ("postgres",)  # what one side may have otherwise


def story(seed: int, kinds: Collection[str]) -> Story:
    """`kinds`: what can be played."""
    chance = Random(f"shop {seed}")
    found: list[Harm] = []
    wanted = chance.choices((1, 2, 3), (40, 35, 25))[0]
    lost = (
        chance.random() < 0.3
    )  # what all of this is for: the active region, or its database, is gone when the move is asked for
    if lost:
        kind, target = chance.choice(LOSSES)
        lasts = None if chance.random() < 0.6 else round(chance.uniform(*LASTS), 1)
        found.append(Harm(kind=kind, target=target, begins=round(chance.uniform(*EVE), 1), lasts=lasts))
    while len(found) < wanted:
        harm = _harm(chance, kinds)
        if not any(clash((harm.kind, harm.target), (each.kind, each.target)) for each in found):
            found.append(harm)
    moved = _move(chance) if lost or chance.random() < 0.75 else None
    changed = chance.choice(KEYS) if chance.random() < 0.06 else ""
    return Story(seed=seed, harms=tuple(found), move=moved, changed=changed, home=chance.random() < 0.2)


def _harm(chance: Random, kinds: Collection[str]) -> Harm:
    kind = ""
    while kind not in kinds:  # of all: a story in which nothing new was drawn is the same where the lab knows more
        kind = chance.choices(list(ROWS), [row.weight for row in ROWS.values()])[0]
    target, detail = ROWS[kind].draw(chance)
    begins = round(chance.uniform(*chance.choices((BEFORE, WITHIN, AFTER), (45, 45, 10))[0]), 1)
    lasts = None if chance.random() < 0.45 else round(chance.uniform(*LASTS), 1)
    return Harm(kind=kind, target=target, detail=detail, begins=begins, lasts=0.0 if ROWS[kind].moment else lasts)


def _move(chance: Random) -> Move:
    killed = round(chance.uniform(1.0, 25.0), 1) if chance.random() < 0.12 else None
    two = killed is None and chance.random() < 0.08
    return Move(operators=2 if two else 1, killed_after=killed, insists=chance.random() < 0.5)
