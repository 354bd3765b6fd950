"""What the last recorded check has found (`contract/checked.py`), in the witness bucket: its age is by the store's clock."""

from __future__ import annotations

from contract import fields
from contract.checked import LAST, Checked
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.wire import document
from scripts.clients.witness_bucket import WitnessBucket, age


@dataclass(frozen=True, kw_only=True)
class LastCheck:
    """`age_s`: seconds since it was recorded."""

    checked: Checked
    age_s: float


class CheckBucket(WitnessBucket):
    """The witness, and what a check has left there."""

    def last_check(self) -> LastCheck | None:
        """None where none was ever recorded. Raises Failed."""
        found = self._read(LAST)
        if found is None:
            return None
        otherwise = "what the last check has found is not known; run `drctl check --record`, which writes it again"
        age_s = age(found)
        try:
            told = document.mapping(found.body)
        except ValueError:
            told = {}
        if not told or age_s is None:
            raise Failed(f"witness object {LAST} in {self._place}: is no record of a check; {otherwise}")
        return LastCheck(checked=fields.heard(Checked, told, f"witness object {LAST}", otherwise), age_s=age_s)

    def record_check(self, checked: Checked) -> None:
        """Over the one before. Raises Failed."""
        self._put(LAST, fields.write(checked))
