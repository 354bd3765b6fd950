"""One dataclass is a part of the contract: its fields are the keys, with default, unit, bounds and meaning, and it is read and written from here.

A field is made by `key` (one value), `part` (another such dataclass below it) or `parts` (several of them by name). `take` reads them from a
section of the configuration, `read` from a JSON document, `write` is the way back. The references in the documents are made from the same fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import Any, NamedTuple, TypeVar

from .checks import Check
from .dataclass import dataclass
from .errors import Failed, Fault, Usage
from .plain import shown
from .reading import Heard, Section, Told

T = TypeVar("T")
_META = "key"
MOST_FAULTS = 4  # of a document from outside, in one sentence


class Contradiction(NamedTuple):
    """Values of one part that are fine alone and wrong together. A part has some when it has a method `contradictions`."""

    key: str
    found: str
    wanted: str
    consequence: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is known of one field. `why`: what goes wrong without it; `fix`: the remedy where it is not plain."""

    doc: str
    unit: str = ""
    why: str = ""
    fix: str = ""
    secret: bool = False
    check: Check[Any] | None = None  # of a value
    of: type[Any] | None = None  # of a part, and of each of several parts
    names: tuple[str, ...] | None = ()  # of several; None: whatever they are called; (): it is one
    off: bool = False  # whether the word `off` stands for none
    shared: bool = True  # whether the two regions must agree in it, where it is part of the shared configuration


def key(
    check: Check[Any],
    doc: str,
    *,
    default: Any = MISSING,
    unit: str = "",
    why: str = "",
    fix: str = "",
    secret: bool = False,
    shared: bool = True,
) -> Any:
    """A value. Without `default` it must be there. A `secret` one is printed nowhere; one that is not `shared` may differ between the regions."""
    meta = {_META: Key(doc=doc, unit=unit, why=why or doc, fix=fix, secret=secret, check=check, shared=shared)}
    if default == {}:
        return dataclasses.field(default_factory=dict, metadata=meta, repr=not secret)
    return dataclasses.field(default=default, metadata=meta, repr=not secret)


def table(check: Check[Any], doc: str, *, names: tuple[str, ...], why: str = "", fix: str = "") -> Any:
    """One value for each of these names."""
    return dataclasses.field(metadata={_META: Key(doc=doc, why=why or doc, fix=fix, check=check, names=names)})


def part(
    of: type[Any],
    doc: str,
    *,
    why: str = "",
    fix: str = "",
    optional: bool = False,
    off: bool = False,
    shared: bool = True,
) -> Any:
    """A dataclass of its own below this one. `optional`: may be absent or null, and is None then; `off`: may be `off`, and is None then."""
    meta = {_META: Key(doc=doc, why=why or doc, fix=fix, of=of, off=off, shared=shared)}
    return dataclasses.field(default=None if optional else MISSING, metadata=meta)


def parts(
    of: type[Any], doc: str, *, names: tuple[str, ...] | None, why: str = "", fix: str = "", optional: bool = False
) -> Any:
    """One such dataclass for each of these names; for whatever name there is where `names` is None. `optional`: may be absent, and there is none then."""
    meta = {_META: Key(doc=doc, why=why or doc, fix=fix, of=of, names=names)}
    if optional:
        return dataclasses.field(default_factory=dict, metadata=meta)
    return dataclasses.field(metadata=meta)


def keys(cls: type[Any]) -> dict[str, tuple[dataclasses.Field[Any], Key]]:
    """The fields of the contract that a dataclass has, in order."""
    return {field.name: (field, field.metadata[_META]) for field in dataclasses.fields(cls) if _META in field.metadata}


def default_of(field: dataclasses.Field[Any]) -> Any:
    """What a field is without its key; `dataclasses.MISSING` where it must be there."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def take(at: Section, cls: type[T]) -> T:
    """The dataclass from a section, which notes every fault; what is built from one with faults must not be used."""
    found = {name: _value(at, name, field, it) for name, (field, it) in keys(cls).items()}
    return cls(**found)


def _value(at: Section, name: str, field: dataclasses.Field[Any], it: Key) -> Any:
    fix = (it.fix,) if it.fix else ()
    if it.check is not None and it.names == ():
        default = {} if (value := default_of(field)) is MISSING else {"default": value}
        return at.take(name, it.check, it.why, it.fix, secret=it.secret, **default)
    if (default_of(field) is None and at.empty(name)) or (it.off and at.off(name)):
        return None
    if it.names is None and default_of(field) == {} and at.empty(name):
        return {}
    with at.section(name, it.why, *fix) as inner:
        if it.names == ():
            assert it.of is not None
            return take(inner, it.of)
        found = {}
        for entry in inner.names() if it.names is None else it.names:
            found[entry] = _entry(inner, entry, it)
        return found


def _entry(at: Section, name: str, it: Key) -> Any:
    if it.check is not None:
        return at.take(name, it.check, it.why, it.fix)
    assert it.of is not None
    with at.section(name, it.why, *((it.fix,) if it.fix else ())) as inner:
        return take(inner, it.of)


def read(cls: type[T], document: object, subject: str) -> T:
    """The dataclass from a JSON value, `subject` being what messages call it. Raises Usage that names every fault."""
    faults: list[Fault] = []
    if not isinstance(document, Mapping):
        kind = Told("", {"": document}, []).show("")
        raise Usage(f"{subject}: found {kind}, wanted an object; nothing was changed; correct the document")
    with Told(subject, document, faults) as at:
        found = take(at, cls)
    agree(Told(subject, document, faults), found)
    refuse(faults)
    return found


def heard(cls: type[T], document: object, subject: str, otherwise: str) -> T:
    """The dataclass from a JSON value that came from outside. Keys that it does not have are another version's, and passed over.

    `otherwise`: consequence and remedy, for the end of the sentence. Raises Failed that names document and key and shows what was found, escaped and
    shortened.
    """
    if not isinstance(document, Mapping):
        raise Failed(f"{subject}: found {shown(document)}, wanted an object; {otherwise}")
    if document and not keys(cls).keys() & document.keys():
        raise Failed(f"{subject}: found no key that belongs there, wanted some of {', '.join(keys(cls))}; {otherwise}")
    faults: list[Fault] = []
    with Heard(f"{subject}:", document, faults) as at:
        found = take(at, cls)
    if faults:
        text = "; ".join(
            f"{fault.subject}: found {fault.found}, wanted {fault.wanted}" for fault in faults[:MOST_FAULTS]
        )
        more = f" and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise Failed(f"{text}{more}; {otherwise}")
    return found


def refuse(faults: Sequence[Fault]) -> None:
    """Raises Usage that names every fault of a document; nothing when there is none."""
    if faults:
        text = "; ".join(f"{fault.subject}: found {fault.found}, wanted {fault.wanted}" for fault in faults)
        raise Usage(f"{text}; nothing was changed; correct the document")


def agree(at: Section, it: Any) -> None:
    """Adds a fault for every contradiction in a part and in those below it, where they were read without faults."""
    if at.clean:
        for row in getattr(it, "contradictions", tuple)():
            at.fault(row.key, row.wanted, row.consequence, row.remedy, found=row.found)
    for name, (_, known) in keys(type(it)).items():
        value = getattr(it, name)
        if known.of is None or value is None:
            continue
        if known.names == ():
            agree(at.below(name), value)
        else:
            for entry, inner in value.items():
                agree(at.below(name).below(entry), inner)


def write(it: Any) -> Any:
    """The JSON value of a dataclass, with every key of it: what `read` takes."""
    if dataclasses.is_dataclass(it) and not isinstance(it, type):
        return {name: write(getattr(it, name)) for name in keys(type(it))}
    if isinstance(it, Mapping):
        return {str(name): write(value) for name, value in it.items()}
    if isinstance(it, list | tuple):
        return [write(value) for value in it]
    return it
