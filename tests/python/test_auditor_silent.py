"""When the alarm about an auditor that is silent goes off, by the template's own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alarms import verdict
from expand import expanded
from metric_math import evaluated

AUDITOR = Path(__file__).parents[2] / "infra/auditor.yaml"


def state(audits: list[float | None], queue: list[float | None]) -> str | None:
    """Returns the state after these intervals, the oldest first; None keeps the state before."""
    alarm: dict[str, Any] = expanded(AUDITOR, {"Side": "data"})["Resources"]["AuditorSilentAlarm"][
        "Properties"
    ]
    queries = alarm["Metrics"]
    expressions = {query["Id"]: query["Expression"] for query in queries if "Expression" in query}
    assert expressions, "the alarm has no expression"
    [returned] = [query["Id"] for query in queries if query["ReturnData"]]
    data = [
        evaluated(returned, expressions, {"audits": audited, "queue": measured})
        for audited, measured in zip(reversed(audits), reversed(queue), strict=True)
    ]
    numbers = {name: int(alarm[name]) for name in ("EvaluationPeriods", "Threshold")}
    new: str | None = verdict(alarm | numbers, data)[0]
    return new


@pytest.mark.parametrize(
    ("what", "audits", "queue", "expected"),
    [
        ("a stack that isn't there", [None] * 4, [None] * 4, None),
        ("a new stack before its first audit", [None] * 4, [None, None, None, 3], None),
        ("its first audit", [None, None, None, 1], [None, None, None, 3], "OK"),
        ("no first audit", [None] * 4, [None, None, 3, 15], "ALARM"),
        ("one audit that is late", [1, 1, 1, None], [15] * 4, "OK"),
        ("silence", [1, 1, None, None], [15] * 4, "ALARM"),
        ("silence, and then an idle queue", [None] * 4, [15, 15, None, None], "ALARM"),
        ("back", [None, None, None, 1], [15] * 4, "OK"),
    ],
)
def test_an_auditor_is_silent_if_two_intervals_since_its_queue_exists_have_no_audit(
    what: str, audits: list[float | None], queue: list[float | None], expected: str | None
) -> None:
    assert state(audits, queue) == expected, what
