"""Stories of random faults in which something was found: played again as they were told then, whatever the list of faults draws by now."""

from __future__ import annotations

from functools import partial

from lab.rehearsal.chaos.eyes import Eyes
from lab.rehearsal.chaos.play import Player
from lab.rehearsal.chaos.story import Harm, Move, Story
from lab.rehearsal.drills import DRILLS, Drill
from lab.rehearsal.stage import Record, Stage

KEPT: dict[str, tuple[str, Story]] = {
    "story-fence-killed-half-way": (
        "A fence that dies when some servers are off leaves none off for ever; the shop stays where it was.",
        Story(
            seed=56,
            harms=(
                Harm(kind="host", target="db-1.here", begins=-4.3, lasts=22.5),
                Harm(kind="uplink", target="there", begins=14.7),
            ),
            move=Move(killed_after=6.6, insists=True),
        ),
    ),
    "story-target-with-a-full-disk": (
        "A region is lost while the other's database has no room: it is not promoted to where it cannot write.",
        Story(
            seed=37,
            harms=(
                Harm(kind="disk-full", target="db-1.there", begins=-9.5),
                Harm(kind="region", target="here", begins=-1.0),
            ),
            move=Move(),
            home=True,
        ),
    ),
    "story-two-operators-and-two-regions": (
        "Two operators leave a lost region for one that is lost next: both are told what is so.",
        Story(
            seed=16,
            harms=(
                Harm(kind="region-hosts", target="here", begins=-0.6),
                Harm(kind="region-hosts", target="there", begins=19.6),
            ),
            move=Move(operators=2),
        ),
    ),
    "story-run-while-a-killed-move-is-taken-back": (
        "A run that finds a move begun, which its orphaned link takes back a moment later, is the last that changes anything.",
        Story(
            seed=240,
            harms=(Harm(kind="link", target="here->there", begins=2.0),),
            move=Move(killed_after=21.6),
        ),
    ),
    "story-cache-host-lost-with-a-move": (
        "Carts that were written in a transaction outlive the loss of the leading cache's host and two moves.",
        Story(
            seed=53,
            harms=(
                Harm(kind="host", target="cache-1.here", begins=-6.4),
                Harm(kind="agent-killed", target="db-1.there", begins=9.7, lasts=0.0),
            ),
            move=Move(insists=True),
            home=True,
        ),
    ),
}


def _play(story: Story, stage: Stage, record: Record) -> None:
    record.isolates = True  # whether an agent may have stopped something is for the story's own invariants
    result = Player(stage, Eyes(stage), story).run()
    record.figures |= {"story": story.text(), "words": dict(result.journal.words), **result.figures}
    record.faults += [f"{check.name}: {check.seen.strip()}" for check in result.broken]
    record.faults += [f"rehearsal: {text.strip()}" for text in result.harness]


for _name, (_shows, _story) in KEPT.items():
    DRILLS[_name] = Drill(_name, _shows, partial(_play, _story))
