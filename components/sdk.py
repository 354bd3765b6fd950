"""The providers' SDKs, of which a program loads what it names: an `import pulumi_ovh` loads some 200 modules of forty products, of which it needs six.

That is 0.2 s of processor time at each `pulumi up`, before the first link; with `pulumi_openstack` a quarter of a second. Their packages are generated: a class
`FloatingIp` lies in `floating_ip.py`, each `...Args` in `_inputs.py`. Where one is not found like that, its package is loaded in full, as it would be else.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

SDKS = ("pulumi_openstack", "pulumi_ovh")
_INNER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def lighten(name: str) -> None:
    """From now on this package loads what it is asked for; nothing where it was loaded already, or is not installed."""
    spec = None if name in sys.modules else find_spec(name)
    if spec is None:
        return
    package = module_from_spec(spec)
    package.__dict__["__getattr__"] = lambda attribute: _asked(package, attribute)
    sys.modules[name] = package


def _asked(package: ModuleType, attribute: str) -> Any:
    """What a package has by that name: a module or package below it, a class of one, or whatever all of it has. Raises AttributeError."""
    if attribute.startswith("__"):
        raise AttributeError(attribute)
    found: Any = _below(package, attribute)
    if found is not None and not hasattr(found, "__path__"):
        found = getattr(found, attribute, found)  # a function, in a module of its own name
    if found is None:
        home = _below(package, "_inputs" if attribute.endswith("Args") else _INNER.sub("_", attribute).lower())
        found = getattr(home, attribute, None)
    if found is None:
        package.__dict__.pop("__getattr__", None)
        spec = package.__spec__
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(package)
        return getattr(package, attribute)
    setattr(package, attribute, found)
    return found


def _below(package: ModuleType, name: str) -> ModuleType | None:
    full = f"{package.__name__}.{name}"
    spec = find_spec(full)
    if spec is None:
        return None
    if spec.submodule_search_locations is not None:
        lighten(full)
    return import_module(full)
