"""The operator's words as a run finds them: which count, which are ignored and said so, which are refused.

A word is judged once a run, at its beginning: one that runs out while a take-over is at work still counts in it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from contract.accept import HOUR_S, Word, over, seconds, spelled
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.errors import Refused
from contract.links.fence import Document


@dataclass(frozen=True, kw_only=True)
class Judged:
    """`counts`: the words that this run goes by, by their names in `dr:accept`; `said`: a sentence of every word, for the operator."""

    counts: Mapping[str, Word]
    said: Sequence[str]


def judge(
    words: Mapping[str, Word | None], newest: Epoch | None, now: float | None = None, section: str = "dr:accept."
) -> Judged:
    """`newest`: the epoch in force; before the first one there is, words are for that. `section`: what stands before each name in the stack file.

    Raises Refused for a word that would lie in wait.
    """
    epoch = newest.epoch if newest else 1
    moment = time.time() if now is None else now
    counts, said = dict[str, Word](), list[str]()
    for name, word in words.items():
        if word is None:
            continue
        subject = f"{section}{name}"
        if word.epoch > epoch:
            raise Refused(
                f"{subject}: is for epoch {word.epoch}, wanted epoch {epoch}, which is in force: a word for an epoch to come would lie in wait for it; "
                "nothing was changed; take it out of the stack file, or name the epoch in force"
            )
        if word.epoch < epoch:
            said.append(
                f"{subject}: is for epoch {word.epoch}, and epoch {epoch} is in force: it is ignored; take it out of the stack file"
            )
        elif over(word.at, moment) and seconds(word.at) > moment:
            raise Refused(
                f"{subject}: is of {word.at}, which is still to come ({spelled(moment)} now, by this machine's clock): it would lie in wait; nothing was "
                "changed; correct its time or the clock"
            )
        elif over(word.at, moment):
            said.append(
                f"{subject}: is of {word.at}, more than an hour ago: it is ignored; take it out of the stack file, or, when it is still meant, set its "
                f"at to {spelled(moment)}"
            )
        else:
            counts[name] = word
            said.append(
                f"{subject}: IS ARMED for epoch {epoch} until {spelled(seconds(word.at) + HOUR_S)} ({word.reason}); take it out after the run that needs it"
            )
    return Judged(counts=counts, said=said)


def counting(told: Document, newest: Epoch | None) -> Document:
    """What the fence is told, without the words that do not count. Raises Refused for one that would lie in wait."""
    given = {
        "without_fence": told.without_fence,
        "data_loss": told.data_loss,
        "configuration": told.other_configuration,
        "empty": told.empty,
    }
    judged = judge(given, newest)
    for sentence in judged.said:
        print(f"WARNING fence: {sentence}", file=sys.stderr)
    counts = judged.counts
    return replace(
        told,
        without_fence=counts.get("without_fence"),
        data_loss=counts.get("data_loss"),
        other_configuration=counts.get("configuration"),
        empty=counts.get("empty"),
    )
