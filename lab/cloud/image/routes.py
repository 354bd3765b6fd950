"""Glance's paths."""

from __future__ import annotations

from collections.abc import Iterable

from lab.cloud.auth import OpenStackService
from lab.cloud.image import errors, models
from lab.cloud.state import Cloud, Record, public
from lab.cloud.web import ApiError, Call, Reply

_FILTERS = frozenset({"name", "status", "visibility", "owner", "id", "disk_format", "container_format", "os_hidden"})


class ImageService(OpenStackService):
    name = "image"
    open_paths = frozenset({"", "/", "/versions"})

    def __init__(self, cloud: Cloud, region: str) -> None:
        super().__init__(cloud, region)
        cloud.add_seed(models.seed)

        @self.route("GET", "/")
        @self.route("GET", "/versions")
        def versions(call: Call) -> Reply:
            return Reply(300 if call.path in ("", "/") else 200, models.version_document(self.root))

        @self.route("GET", "/v2")
        def v2(call: Call) -> Reply:
            raise ApiError(404, "The resource could not be found.", "NotFound")

        @self.route("GET", "/v2/images")
        def listing(call: Call) -> Reply:
            chosen = self._page(call, self._sorted(call, self._matching(call)))
            body = {"images": [public(image) for image in chosen], "first": call.url, "schema": "/v2/schemas/images"}
            return Reply(200, body)

        @self.route("GET", "/v2/images/<image_id>")
        def show(call: Call, image_id: str) -> Reply:
            return Reply(200, public(self._image(image_id)))

        @self.route("DELETE", "/v2/images/<image_id>")
        def delete(call: Call, image_id: str) -> Reply:
            self._image(image_id)
            raise ApiError(403, "You are not authorized to complete delete_image action.", "Forbidden")

        @self.route("GET", "/v2/schemas/image")
        def schema(call: Call) -> Reply:
            return Reply(200, models.schema())

    def render_unauthorized(self, error: ApiError) -> Reply:
        return errors.render(ApiError(401, errors.UNVERIFIED, error.kind, error.headers))

    def render_fault(self, error: ApiError) -> Reply:
        return errors.render(error)

    def _image(self, image_id: str) -> Record:
        image = self.cloud.region(self.region).images.get(image_id)
        if image is None:
            raise errors.not_found(image_id)
        return image

    def _matching(self, call: Call) -> list[Record]:
        images: Iterable[Record] = self.cloud.region(self.region).images.values()
        for field in _FILTERS & set(call.query):
            wanted = call.query[field][0]
            images = [image for image in images if str(image[field]).lower() == wanted.lower()]
        return list(images)

    def _sorted(self, call: Call, images: list[Record]) -> list[Record]:
        keys = [part.partition(":") for part in (call.first("sort") or "").split(",") if part]
        orders = [(name, direction or "desc") for name, _, direction in keys]
        orders = orders or [
            (name, call.first("sort_dir", "desc") or "desc") for name in call.query.get("sort_key", ["created_at"])
        ]
        for name, direction in reversed(orders):
            if name not in models.SORT_KEYS:
                allowed = ", ".join(models.SORT_KEYS)
                raise ApiError(
                    400, f"Invalid sort key: {name}. It must be one of the following: {allowed}.", "BadRequest"
                )
            images.sort(key=lambda image: str(image[name]), reverse=direction == "desc")
        return images

    def _page(self, call: Call, images: list[Record]) -> list[Record]:
        marker, limit = call.first("marker"), call.first("limit")
        if marker is not None:
            if marker not in self.cloud.region(self.region).images:
                raise errors.not_found(marker, 400)
            ids = [image["id"] for image in images]
            images = images[ids.index(marker) + 1 :] if marker in ids else []
        if limit is not None and not limit.isdigit():
            raise ApiError(400, "limit param must be an integer", "BadRequest")
        return images[: int(limit)] if limit is not None else images
