"""A store's documents of XML, believed only where the root is the one that was asked for: a login page, which is XML too, would look like an empty answer."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from contract.wire.s3 import NotS3

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def document(body: bytes, wanted: str) -> tuple[ElementTree.Element, str]:
    """The root, and what stands before the names of its elements. Raises NotS3."""
    if b"<!DOCTYPE" in body:
        raise NotS3("a document with entities of its own")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - expat of Python 3.11 and later bounds entity expansion
    except (
        ElementTree.ParseError,
        LookupError,
        ValueError,
    ) as error:  # the latter two: of an encoding that Python has not
        raise NotS3(f"no XML ({error})") from None
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    if root.tag != space + wanted:
        raise NotS3(f"a {shown(root.tag.removeprefix(space))}, wanted a {wanted}")
    return root, space


def plain(body: bytes, wanted: str) -> ElementTree.Element:
    """The root, without what stands before the names of elements; for documents that are few. Raises NotS3."""
    root, _ = document(body, wanted)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def need(element: ElementTree.Element, name: str) -> ElementTree.Element:
    """The first element of that name below it. Raises NotS3."""
    found = element.find(name)
    if found is None:
        raise NotS3(f"a {shown(element.tag)} without {name}")
    return found


def text(element: ElementTree.Element, name: str) -> str:
    """What stands in the first element of that name. Raises NotS3 when there is no such element."""
    return need(element, name).text or ""


def decoded(text: str, encoded: bool) -> bytes:
    """A key as a listing has it; `encoded`: it says of itself that it encodes keys."""
    return unquote_to_bytes(text.replace("+", " ")) if encoded and ("%" in text or "+" in text) else text.encode()


def shown(text: str) -> str:
    """Somebody else's words within a sentence."""
    return text[:40].encode("ascii", "backslashreplace").decode()
