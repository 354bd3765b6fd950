"""Is an answer of the lab the recorded one? Same keys, same types, same values; ids, addresses and times by what they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_IPV4 = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b(?!/)")
_MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
_HEX = re.compile(r"\b[0-9a-f]{32}\b")
_NAMED = re.compile("|".join(item.pattern for item in (_UUID, _IPV4, _MAC, _HEX)))
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?$")
_CUT = re.compile(r"…\(\+\d+\)$")
_REQUEST = re.compile(r"req-[0-9a-f-]{36}")

# Values of one installation: only their type is compared.
FREE_VALUES = frozenset({
    "adminPass", "hostId", "checksum", "os_hash_value", "revision_number", "standard_attr_id", "audit_ids", "X-Subject-Token", "uptime",
    "hours", "total_local_gb_usage", "total_vcpus_usage", "total_memory_mb_usage", "total_hours", "service_uuid", "flavor_profile_id",
    "provider:segmentation_id", "size", "virtual_size", "total_connections", "bytes_in", "bytes_out",
})  # fmt: skip
FREE_NUMBERS = FREE_VALUES | {"id"}  # a key pair's number; other ids are texts


@dataclass
class Verdict:
    """`differences`: (where, what). `learned`: recorded name to the lab's name of the same thing."""

    differences: list[tuple[str, str]] = field(default_factory=list)
    learned: dict[str, str] = field(default_factory=dict)


class Comparison:
    """`known`: the names learned so far."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self.verdict = Verdict()

    def body(self, recorded: Any, found: Any) -> None:
        self._any("", recorded, found)

    def header(self, name: str, recorded: str, found: str | None) -> None:
        if found is None:
            self._note(f"header {name}", f"missing, recorded {recorded!r}")
        else:
            self._text(f"header {name}", recorded, found)

    def _note(self, where: str, what: str) -> None:
        self.verdict.differences.append((where, what))

    def _name(self, recorded: str) -> str | None:
        return self.verdict.learned.get(recorded) or self._known.get(recorded)

    def _any(self, where: str, recorded: Any, found: Any) -> None:
        if isinstance(recorded, dict) and isinstance(found, dict):
            self._object(where, recorded, found)
        elif isinstance(recorded, list) and isinstance(found, list):
            self._list(where, recorded, found)
        elif isinstance(recorded, str) and isinstance(found, str):
            if where.rsplit("/", 1)[-1] not in FREE_VALUES:
                self._text(where, recorded, found)
        elif _kind(recorded) != _kind(found) or (recorded != found and where.rsplit("/", 1)[-1] not in FREE_NUMBERS):
            self._note(where, f"recorded {_brief(recorded)}, found {_brief(found)}")

    def _object(self, where: str, recorded: dict[str, Any], found: dict[str, Any]) -> None:
        for key in recorded.keys() - found.keys():
            self._note(f"{where}/{key}", "missing")
        for key in found.keys() - recorded.keys():
            self._note(f"{where}/{key}", f"not recorded, found {_brief(found[key])}")
        for key, value in recorded.items():
            if key in found:
                self._any(f"{where}/{key}", value, found[key])

    def _list(self, where: str, recorded: list[Any], found: list[Any]) -> None:
        if len(recorded) != len(found):
            self._note(where, f"recorded {len(recorded)} items, found {len(found)}")
        for first, second in self._pairs(recorded, found):
            self._any(f"{where}/[]", first, second)

    def _pairs(self, recorded: list[Any], found: list[Any]) -> Iterator[tuple[Any, Any]]:
        """Items that stand for the same thing; lists have no promised order in these services."""
        rest = list(found)
        for item in sorted(recorded, key=lambda one: -self._sure(one)):
            if not rest:
                return
            best = max(rest, key=lambda other: self._alike(item, other))
            rest.remove(best)
            yield item, best

    def _sure(self, item: Any) -> int:
        return int(isinstance(item, dict) and self._name(str(item.get("id"))) is not None)

    def _alike(self, recorded: Any, found: Any) -> int:
        if isinstance(recorded, dict) and isinstance(found, dict):
            score = 0
            for key, value in recorded.items():
                other = found.get(key)
                if isinstance(value, str) and isinstance(other, str) and self._name(value) is not None:
                    score += (20 if key == "id" else 2) if self._name(value) == other else -5
                elif key not in FREE_VALUES and isinstance(value, str | int | None) and value == other:
                    score += 1
                elif isinstance(value, dict | list):
                    score += int(self._alike(value, other) > 0)
            return score
        if isinstance(recorded, list) and isinstance(found, list):
            return sum(max((self._alike(item, other) for other in found), default=0) for item in recorded)
        if isinstance(recorded, str) and isinstance(found, str):
            return 2 * int((self._name(recorded) or recorded) == found)
        return int(recorded == found)

    def _text(self, where: str, recorded: str, found: str) -> None:
        if recorded.startswith("<") and recorded.endswith(">"):  # left out of the recording
            return
        if _TIME.match(recorded):
            first, second = _TIME.match(recorded), _TIME.match(found)
            if second is None or (first and (bool(first[1]), first[2]) != (bool(second[1]), second[2])):
                self._note(where, f"recorded the time {recorded!r}, found {found!r}")
            return
        recorded, found = _REQUEST.sub("req-", recorded), _REQUEST.sub("req-", found)
        cut = _CUT.search(recorded)
        if cut is not None:
            recorded, found = recorded[: cut.start()], found[: cut.start()]
        first_names, second_names = _NAMED.findall(recorded), _NAMED.findall(found)
        if _NAMED.sub("@", recorded) != _NAMED.sub("@", found) or len(first_names) != len(second_names):
            self._note(where, f"recorded {recorded!r}, found {found!r}")
            return
        if len(first_names) > 2 and not {self._name(name) for name in first_names} - set(second_names) - {None}:
            return  # the same things as far as they are known; a list within a sentence has no promised order
        for first_name, second_name in zip(first_names, second_names, strict=True):
            known = self._name(first_name)
            if known is None:
                self.verdict.learned[first_name] = second_name
            elif known != second_name:
                self._note(where, f"recorded {first_name}, which is {known} here, found {second_name}")


def translate(value: Any, known: dict[str, str]) -> Any:
    """A recorded request in the lab's names."""
    if isinstance(value, dict):
        return {key: translate(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [translate(item, known) for item in value]
    if isinstance(value, str):
        whole = re.sub(
            r"^(.*)…\(\+(\d+)\)$", lambda match: match[1] + match[1][-1] * int(match[2]), value, flags=re.DOTALL
        )
        return _NAMED.sub(lambda match: known.get(match[0], match[0]), whole)
    return value


def names_in(value: Any) -> set[str]:
    """Every id in a path or a body."""
    if isinstance(value, dict):
        return {name for item in value.values() for name in names_in(item)}
    if isinstance(value, list):
        return {name for item in value for name in names_in(item)}
    return set(_UUID.findall(value)) if isinstance(value, str) else set()


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return type(value).__name__


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
