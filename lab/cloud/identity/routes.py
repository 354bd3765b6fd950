"""Keystone's paths."""

from __future__ import annotations

import hmac
from typing import Any

from lab.cloud.auth import OpenStackService
from lab.cloud.config import User
from lab.cloud.identity import errors, models
from lab.cloud.state import Cloud, Token
from lab.cloud.web import ApiError, Call, Reply


class IdentityService(OpenStackService):
    name = "identity"
    open_paths = frozenset({"", "/", "/v3", "/v3/"})

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.config = cloud.config
        self._documents()
        self._tokens()
        self._tenant()

    @property
    def root(self) -> str:
        return self.config.auth_url.rstrip("/").removesuffix("/v3")

    def authenticate(self, call: Call) -> Token | None:
        self._count()
        if call.path in self.open_paths or (call.method, call.path) == ("POST", "/v3/auth/tokens"):
            return None
        token = self.cloud.tokens.get(call.headers.get("x-auth-token", ""))
        if token is None or token.expired:
            raise errors.unauthorized(self.config.auth_url)
        return token  # unscoped ones too: that is how a client finds its projects

    def render_unauthorized(self, error: ApiError) -> Reply:
        return errors.render(error)

    def render_fault(self, error: ApiError) -> Reply:
        return errors.render(error)

    def finish(self, call: Call, reply: Reply) -> Reply:
        reply.headers.setdefault("Vary", "X-Auth-Token")
        return reply

    def _documents(self) -> None:
        version = models.version_document(self.config)

        @self.route("GET", "/")
        def versions(call: Call) -> Reply:
            return Reply(300, {"versions": {"values": [version]}}, {"Location": version["links"][0]["href"]})

        @self.route("GET", "/v3")
        @self.route("GET", "/v3/")
        def v3(call: Call) -> Reply:
            return Reply(200, {"version": version})

    def _tokens(self) -> None:
        @self.route("POST", "/v3/auth/tokens")
        def issue(call: Call) -> Reply:
            token = self._login(call)
            return Reply(201, models.token_body(self.config, token), {"X-Subject-Token": token.id})

        @self.route("GET", "/v3/auth/tokens")
        @self.route("HEAD", "/v3/auth/tokens")
        def validate(call: Call) -> Reply:
            token = self._subject(call)
            body = None if call.method == "HEAD" else models.token_body(self.config, token)
            return Reply(200, body, {"X-Subject-Token": token.id})

        @self.route("DELETE", "/v3/auth/tokens")
        def revoke(call: Call) -> Reply:
            token = self._subject(call)
            del self.cloud.tokens[token.id]
            self.cloud.revoked.add(token.id)
            return Reply(204)

    def _tenant(self) -> None:
        @self.route("GET", "/v3/auth/projects")
        def projects(call: Call) -> Reply:
            links = {"next": None, "self": f"{self.root}/v3/auth/projects", "previous": None}
            return Reply(200, {"projects": [models.project_body(self.config)], "links": links})

        @self.route("GET", "/v3/auth/catalog")
        def catalogue(call: Call) -> Reply:
            return Reply(
                200, {"catalog": models.catalogue(self.config), "links": {"self": f"{self.root}/v3/auth/catalog"}}
            )

        @self.route("GET", "/v3/projects/<project_id>")
        def project(call: Call, project_id: str) -> Reply:
            raise errors.forbidden("identity:get_project")

        @self.route("GET", "/v3/projects")
        def all_projects(call: Call) -> Reply:
            raise errors.forbidden("identity:list_projects")

        @self.route("GET", "/v3/users")
        def users(call: Call) -> Reply:
            raise errors.forbidden("identity:list_users")

    def _subject(self, call: Call) -> Token:
        """The token that X-Subject-Token names."""
        wanted = call.headers.get("x-subject-token", "")
        token = self.cloud.tokens.get(wanted)
        if token is None and wanted not in self.cloud.revoked:
            raise ApiError(404, "Could not recognize Fernet token", "NotFound")
        if token is None or token.expired:
            raise ApiError(404, "Failed to validate token", "NotFound")
        return token

    def _login(self, call: Call) -> Token:
        if not isinstance(call.body, dict):
            raise ApiError(400, errors.BAD_JSON, "BadRequest")
        auth = _member(call.body, "auth")
        identity = _member(auth, "identity")
        methods = identity.get("methods")
        if not isinstance(methods, list):
            raise errors.missing("methods")
        if methods == ["password"]:
            user = self._by_password(_member(_member(identity, "password"), "user"))
        elif methods == ["token"]:
            user = self._by_token(_member(identity, "token").get("id", ""))
        else:
            raise errors.unauthorized(self.config.auth_url)
        return models.issue(self.cloud, user, self._scope(auth.get("scope")), tuple(methods))

    def _by_password(self, given: dict[str, Any]) -> User:
        for user in self.config.users:
            named = given.get("id") == user.id or (
                given.get("name") == user.name and self._our_domain(given.get("domain"))
            )
            if named and hmac.compare_digest(str(given.get("password", "")).encode(), user.password.encode()):
                return user
        raise errors.unauthorized(self.config.auth_url)

    def _by_token(self, token_id: str) -> User:
        token = self.cloud.tokens.get(token_id)
        if token is None or token.expired:
            raise errors.unauthorized(self.config.auth_url)
        return next(user for user in self.config.users if user.id == token.user_id)

    def _scope(self, scope: Any) -> str | None:
        """The project id that a scope means; None for an unscoped token."""
        if scope is None or scope == "unscoped":
            return None
        project = scope.get("project") if isinstance(scope, dict) else None
        if not isinstance(project, dict):
            raise errors.unauthorized(self.config.auth_url)
        by_id = project.get("id") == self.config.project_id
        if by_id or (project.get("name") == self.config.project_name and self._our_domain(project.get("domain"))):
            return self.config.project_id
        raise errors.unauthorized(self.config.auth_url)

    def _our_domain(self, domain: Any) -> bool:
        return isinstance(domain, dict) and (
            domain.get("id") == self.config.domain_id or domain.get("name") == self.config.domain_name
        )


def _member(document: Any, name: str) -> dict[str, Any]:
    """A part of a request that has to be there; 400 as Keystone's schema check says it."""
    value = document.get(name) if isinstance(document, dict) else None
    if value is None:
        raise errors.missing(name)
    if not isinstance(value, dict):
        raise ApiError(400, f"{value!r} is not of type 'object'", "BadRequest")
    return value
