"""The text of a load balancer's HAProxy configuration, from what Octavia's API was told."""

from __future__ import annotations

import re
from pathlib import Path

from lab.cloud.backend import BalancerSpec, Listener, Member, Monitor, Pool

BALANCE = {
    "ROUND_ROBIN": "roundrobin",
    "LEAST_CONNECTIONS": "leastconn",
    "SOURCE_IP": "source",
    "SOURCE_IP_PORT": "source",
}
PROXY = {"PROXY": " send-proxy", "PROXYV2": " send-proxy-v2"}
HTTP = ("HTTP", "TERMINATED_HTTPS")


def config(spec: BalancerSpec, folder: Path) -> str:
    """The whole file. `folder` has the stats socket and the health of members over a reload."""
    head = f"""global
  stats socket {folder / "stats.sock"} mode 600 level admin expose-fd listeners
  server-state-file {folder / "servers.state"}
  hard-stop-after 60s
  maxconn 4000
  nbthread 1
  log stdout format raw local0 info
defaults
  log global
  option dontlog-normal
  load-server-state-from-file global
  retries 1
  option redispatch
  timeout check 5s
  timeout queue 30s
"""
    parts = [head]
    for listener in sorted(spec.listeners, key=lambda item: item.listener_id):
        parts.append(_frontend(spec.vip, listener))
    pools = {
        listener.pool.pool_id: (listener.pool, listener) for listener in spec.listeners if listener.pool is not None
    }
    for _, (pool, listener) in sorted(pools.items()):
        parts.append(_backend(pool, listener))
    return "\n".join(parts)


def _mode(protocol: str) -> str:
    return "http" if protocol in HTTP else "tcp"


def _frontend(vip: str, listener: Listener) -> str:
    mode = _mode(listener.protocol)
    lines = [
        f"frontend {listener.listener_id}",
        f"  mode {mode}",
        f"  bind {vip}:{listener.port}",
        f"  timeout client {listener.timeout_client_ms}ms",
    ]
    if mode == "http":
        lines += ["  option forwardfor", f"  timeout http-request {listener.timeout_client_ms}ms"]
    if listener.connection_limit > 0:
        lines.append(f"  maxconn {listener.connection_limit}")
    if listener.allowed_cidrs:
        lines.append(f"  tcp-request connection reject unless {{ src {' '.join(listener.allowed_cidrs)} }}")
    if listener.pool is not None:
        lines.append(f"  default_backend {listener.pool.pool_id}")
    return "\n".join(lines) + "\n"


def _backend(pool: Pool, listener: Listener) -> str:
    lines = [
        f"backend {pool.pool_id}",
        f"  mode {_mode(pool.protocol)}",
        f"  balance {BALANCE.get(pool.algorithm, 'roundrobin')}",
        f"  timeout connect {listener.timeout_connect_ms}ms",
        f"  timeout server {listener.timeout_member_ms}ms",
    ]
    monitor = pool.monitor
    if monitor is not None:
        lines.append(f"  timeout check {monitor.timeout}s")
        if monitor.kind in ("HTTP", "HTTPS"):
            lines += [
                "  option httpchk",
                f"  http-check send meth {monitor.http_method} uri {monitor.url_path}",
                f"  http-check expect {expected(monitor.expected_codes)}",
            ]
        elif monitor.kind == "TLS-HELLO":
            lines.append("  option ssl-hello-chk")
    lines += [_server(member, pool, monitor) for member in sorted(pool.members, key=lambda item: item.member_id)]
    return "\n".join(lines) + "\n"


def _server(member: Member, pool: Pool, monitor: Monitor | None) -> str:
    line = f"  server {member.member_id} {member.address}:{member.port} weight {min(member.weight, 256)}{PROXY.get(pool.protocol, '')}"
    if monitor is not None:
        line += f" check inter {monitor.delay}s fall {monitor.max_retries_down} rise {monitor.max_retries}"
        if monitor.kind == "HTTPS":
            line += " check-ssl verify none"
        if member.monitor_address is not None:
            line += f" addr {member.monitor_address}"
        if member.monitor_port is not None:
            line += f" port {member.monitor_port}"
    if member.backup:
        line += " backup"
    if not member.enabled:
        line += " disabled"
    return line


def expected(codes: str) -> str:
    """Octavia's `200`, `200,202` or `200-204` as HAProxy's condition."""
    digits = re.sub(r"\s", "", codes) or "200"
    return f"status {digits}"
