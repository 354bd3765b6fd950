"""Whether a database of a site may be at work, as the witness says."""

from __future__ import annotations

import pytest

from contract.buckets import Bucket
from contract.epoch import Epoch
from scripts.clients.witness_bucket import WitnessDown
from scripts.leftovers import writer


@pytest.mark.parametrize(
    ("newest", "says"),
    [
        (None, None),
        (Epoch(epoch=2, active="b", previous="a", planned=True), None),
        (Epoch(epoch=3, active="a", previous="b", planned=True), "region a is active (epoch 3)"),
        (WitnessDown("bucket w: no answer"), "nobody can say"),
    ],
)
def test_only_a_site_that_is_surely_not_active_lets_go_of_its_volumes(
    monkeypatch: pytest.MonkeyPatch, newest: Epoch | Exception | None, says: str | None
) -> None:
    class Played:
        def __init__(self, document: object) -> None:
            pass

        def newest(self) -> Epoch | None:
            if isinstance(newest, Exception):
                raise newest
            return newest

    monkeypatch.setattr(writer, "Witness", Played)
    found = writer.may_write("a", Bucket(endpoint="http://w", region="de", bucket="w", access_key="k", secret_key="s"))
    assert (found is None) == (says is None) and (says or "") in (found or "")
