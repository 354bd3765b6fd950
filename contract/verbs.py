"""Which form each of a host's verbs answers in, where the operator's side asks it. The facts of all others reach nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .answers import (
    AgentDeny,
    AgentStatus,
    AssetsStatus,
    Drained,
    PostgresLogins,
    PostgresStatus,
    PostgresStop,
    RedisStatus,
    Rehearsed,
)
from .greeting import Said, Tried
from .monitoring.boards import BoardFigures
from .monitoring.silences import Silenced
from .survey import HostSurvey

ANSWERS: Mapping[str, type[Any]] = {
    "postgres status": PostgresStatus,
    "postgres listen": PostgresStatus,
    "postgres logins": PostgresLogins,
    "postgres stop": PostgresStop,
    "agent status": AgentStatus,
    "agent listen": AgentStatus,
    "agent deny": AgentDeny,
    "redis status": RedisStatus,
    "assets status": AssetsStatus,
    "archive drain": Drained,
    "archive rehearse": Rehearsed,
    "certificate greet": Said,
    "certificate try": Tried,
    "host survey": HostSurvey,
    "monitoring board": BoardFigures,
    "monitoring silence": Silenced,
    "monitoring unsilence": Silenced,
}
