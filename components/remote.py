"""The one way to build a link: a command on a host or on the operator's machine that gets a document and answers with JSON.

Rules that every link keeps, because the plugin would otherwise surprise:

- the document goes in by `stdin`, secret; a changed document is an update, and an update runs the same script again;
- no `triggers` (they replace) and no `delete` (it would run on a replacement);
- a limit inside the command, since the plugin has none;
- output neither logged nor readable in the state, and never put into the next run's environment.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pulumi
from pulumi_command import local, remote

from components.bundle import Bundle
from components.settings import Settings
from contract.hosts import CONTROL, HostAddress, first
from contract.limits import KILLS_AFTER_S, LINKS_S
from contract.release import UPLOADS

TOOL_PATH = "/opt/dr/dr-host.pyz"
RECORD = ".sha256"  # behind an archive's name: what it may be
# Failed attempts to connect: of a new server's first contact (about five minutes of refusals), and of every later link, which may
# meet a server that was just switched on (about two) but must not hold up a failover for a host that is gone.
FIRST_CONTACT, LATER_CONTACT = 60, 30
DIAL_SECONDS = 5

_OUTPUTS = ["stdout", "stderr"]


def connection(
    settings: Settings, host: HostAddress, bastion: pulumi.Input[str], patience: int
) -> remote.ConnectionArgs:
    """How to reach a host of the own site: the bastion at its floating IP, the others through it, each by its pinned key."""
    key = pulumi.Output.secret(settings.secrets.operator.private)
    bastion_key = settings.secrets.host_keys[f"{first(CONTROL)}.{settings.site}"].public
    if host.role == CONTROL:
        return remote.ConnectionArgs(
            host=bastion,
            user="root",
            private_key=key,
            host_key=bastion_key,
            dial_error_limit=patience,
            per_dial_timeout=DIAL_SECONDS,
        )
    proxy = remote.ProxyConnectionArgs(
        host=bastion,
        user="root",
        private_key=key,
        host_key=bastion_key,
        dial_error_limit=patience,
        per_dial_timeout=DIAL_SECONDS,
    )
    return remote.ConnectionArgs(
        host=host.front,
        user="root",
        private_key=key,
        host_key=settings.secrets.host_keys[host.key].public,
        dial_error_limit=patience,
        per_dial_timeout=DIAL_SECONDS,
        proxy=proxy,
    )


def host_link(
    name: str,
    *,
    service: str,
    connection: remote.ConnectionArgs,
    document: pulumi.Input[str],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
    tool: Bundle,
    first: str = "",
) -> remote.Command:
    """`dr-host <service> converge` on one host with this document, once everything in `after` is done.

    `tool`: the software that must be there. `first`: shell that comes before it, without single quotes.
    """
    program = verified(tool, f"{service} converge", first)
    script = f"timeout -k {KILLS_AFTER_S[service]} {LINKS_S[service]} {program}"
    return host_script(name, script=script, connection=connection, stdin=document, parent=parent, after=after)


def verified(tool: Bundle, verb: str, first: str = "", path: str = TOOL_PATH) -> str:
    """Shell that starts a verb of `dr-host` once the archive there is found to be this one, with what the host has added to it or without.

    The first word of the record beside it is the digest of what was sent, each further one that of the archive with the host's own bytecode
    (`scripts/host/frame/bytecode.py`). Root alone writes either. Something else is refused: it would run as root.
    """
    wrong = (
        f"ERROR software: file {path}: found other contents than this run has put there, wanted those of {tool.digest}; nothing was started or "
        f"changed; see who has changed it, copy {tool.path} to {UPLOADS} there, raise dr:repair and run the same again"
    )
    told = f"$(cat {path}{RECORD} 2>/dev/null) "
    check = f'case "{told}" in {tool.digest}*" $(sha256sum < {path} | cut -c-64) "*) ;; *) echo "{wrong}" >&2; exit 3;; esac'
    return f"sh -c '{'; '.join(filter(None, (first, check)))}; exec python3 {path} {verb}'"


def upload_path(bundle: Bundle) -> str:
    """Where a copy of software arrives. The copy writes in place, so nothing runs from there."""
    return f"{UPLOADS}/{PurePosixPath(bundle.path).name}"


def install_script(digest: str, upload: str, tool: str = TOOL_PATH) -> str:
    """Shell that puts an arrived archive into its place whole: it is started from there at any moment, also when this run is killed.

    A second run finds nothing that has arrived, and does nothing.
    """
    return f"set -eu; test ! -e {upload} || {{ {'; '.join(install_steps(digest, upload, tool))}; }}"


def install_steps(digest: str, upload: str, tool: str) -> tuple[str, ...]:
    """One after the other. Wherever they end, the same again finishes them: what has arrived goes away by the step that puts it into its place."""
    wrong = (
        f"ERROR install: file {upload}: found other contents than were sent, wanted those of {digest}; "
        f"{tool} was not changed; run the same again"
    )
    record = f"{tool}{RECORD}"
    return (
        f'case "$(sha256sum < {upload})" in {digest}*) ;; *) echo "{wrong}" >&2; exit 1;; esac',
        f"chmod 0644 {upload}",
        f"sync {upload}",
        # Before the archive itself, with a word for the one of now: whenever this ends, what is there is known.
        f"new=$(sha256sum < {upload} | cut -c-64)",
        f"old=$(sha256sum < {tool} 2>/dev/null | cut -c-64)",
        f'echo "$new $new $old" > {record}.new',
        f"chmod 0644 {record}.new",
        f"mv -T {record}.new {record}",
        f"mv -T {upload} {tool}",
        f'echo "$new $new" > {record}.new',
        f"chmod 0644 {record}.new",
        f"mv -T {record}.new {record}",
        f"sync {PurePosixPath(tool).parent}",
        f'find {PurePosixPath(upload).parent} -name "{PurePosixPath(tool).stem}-*.pyz" -delete',
    )


def host_script(
    name: str,
    *,
    script: str,
    connection: remote.ConnectionArgs,
    stdin: pulumi.Input[str],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> remote.Command:
    """A bounded, repeatable script on one host."""
    return remote.Command(
        name,
        connection=connection,
        create=script,
        update=script,
        stdin=pulumi.Output.secret(stdin),
        logging=remote.Logging.NONE,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after), additional_secret_outputs=_OUTPUTS),
    )


def host_copy(
    name: str,
    *,
    source: str,
    path: str,
    connection: remote.ConnectionArgs,
    instance_id: pulumi.Input[str],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> remote.CopyToRemote:
    """A file of the project at `path` on one host; again on a new server."""
    return remote.CopyToRemote(
        name,
        connection=connection,
        source=pulumi.FileAsset(source),
        remote_path=path,
        # A new server has nothing, whatever the file's digest says. A copy has no deletion, so its replacement is harmless.
        triggers=[instance_id],
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after)),
    )


def local_link(
    name: str,
    *,
    link: str,
    document: pulumi.Input[str],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
    shown: bool = False,
) -> local.Command:
    """`scripts.links <link>` on the operator's machine. Plugins start in the project's folder, so nothing here names a path.

    `shown`: what it says on stderr is seen also where it ends well; there is no secret in it.
    Without a shell that stays in between: the plugin kills what it has started itself when the engine is gone, and the link looks whether its
    parent is still the one that it was told.
    """
    script = _local(link)
    return local.Command(
        name,
        create=script,
        update=script,
        stdin=pulumi.Output.secret(document),
        logging=local.Logging.STDERR if shown else local.Logging.NONE,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after), additional_secret_outputs=_OUTPUTS),
    )


def local_keeper(
    name: str,
    *,
    document: pulumi.Input[str],
    parent: pulumi.Resource,
    stands_on: Sequence[pulumi.Resource],
    protect: bool,
) -> local.Command:
    """`scripts.links keeper` when this is deleted, and nothing before that: it is told the document of the last run."""
    return local.Command(
        name,
        create="true",
        update="true",
        delete=_local("keeper"),
        stdin=pulumi.Output.secret(document),
        logging=local.Logging.NONE,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=list(stands_on), additional_secret_outputs=_OUTPUTS, protect=protect
        ),
    )


def _local(link: str) -> str:
    limits = f"-k {KILLS_AFTER_S[link]} {LINKS_S[link]}"
    return f"exec timeout {limits} {interpreter()} -m scripts.links {link} --caller $$"


def interpreter(executable: str = sys.executable, root: Path | None = None) -> str:
    """The program's interpreter, relative to the project where it lies inside: another checkout must not look like a change."""
    path, base = Path(executable), root or Path.cwd()
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
