"""Microversions as Nova and Cinder negotiate them: the oldest when nothing is asked, 406 for one that is too new."""

from __future__ import annotations

import re
from typing import ClassVar

from lab.cloud.auth import OpenStackService
from lab.cloud.state import Token
from lab.cloud.web import ApiError, Call, Reply

Version = tuple[int, int]


class VersionedService(OpenStackService):
    """An OpenStack service with microversions. Subclasses set the range, the key of the header and the old header's name."""

    version_key: ClassVar[str]  # "compute" in `OpenStack-API-Version: compute 2.55`
    oldest: ClassVar[Version]
    newest: ClassVar[Version]
    old_header: ClassVar[str | None] = None

    def authenticate(self, call: Call) -> Token | None:
        token = super().authenticate(call)
        version = self.version(call)
        if not self.oldest <= version <= self.newest:
            text = f"Version {dotted(version)} is not supported by the API. Minimum is {dotted(self.oldest)} and maximum is {dotted(self.newest)}."
            raise ApiError(406, text, "computeFault")
        return token

    def version(self, call: Call) -> Version:
        """What the client asks for; malformed text is 400."""
        wanted = self._asked(call)
        if wanted is None:
            return self.oldest
        if wanted == "latest":
            return self.newest
        match = re.fullmatch(r"([1-9]\d*)\.(0|[1-9]\d*)", wanted)
        if match is None:
            text = f"API Version String {wanted} is of invalid format. Must be of format MajorNum.MinorNum."
            raise ApiError(400, text, "badRequest")
        return int(match[1]), int(match[2])

    def finish(self, call: Call, reply: Reply) -> Reply:
        if reply.status in (401, 429, 501) or (call.path in self.open_paths and not call.path.startswith("/v")):
            return reply
        try:
            version = dotted(self.version(call))
        except ApiError:
            version = dotted(self.oldest)
        reply.headers["OpenStack-API-Version"] = f"{self.version_key} {version}"
        reply.headers["Vary"] = self.old_header or "OpenStack-API-Version"
        if self.old_header is not None:
            reply.headers[self.old_header] = version
        return reply

    def _asked(self, call: Call) -> str | None:
        for part in call.headers.get("openstack-api-version", "").split(","):
            key, _, version = part.strip().partition(" ")
            if key.lower() == self.version_key:
                return version.strip()
        return call.headers.get(self.old_header.lower()) if self.old_header else None


def dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
