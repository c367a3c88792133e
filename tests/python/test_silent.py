"""When the alarms about a silent auditor or a silent monitor go off, as the templates set them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alarms import verdict
from expand import expanded
from metric_math import evaluated

INFRA = Path(__file__).parents[2] / "infra"

Series = list[float | None]


def state(template: str, given: dict[str, Any], alarm: str, data: dict[str, Series]) -> str | None:
    """Returns the state after these periods, the oldest first; None keeps the state before."""
    settings: dict[str, Any] = expanded(INFRA / template, given)["Resources"][alarm]["Properties"]
    queries = settings["Metrics"]
    expressions = {query["Id"]: query["Expression"] for query in queries if "Expression" in query}
    assert expressions, "the alarm has no expression"
    [returned] = [query["Id"] for query in queries if query["ReturnData"]]
    assert {query["Id"] for query in queries} == {returned, *data}
    periods = [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]
    results = [evaluated(returned, expressions, period) for period in reversed(periods)]
    numbers = {name: int(settings[name]) for name in ("EvaluationPeriods", "Threshold")}
    new: str | None = verdict(settings | numbers, results)[0]
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
    what: str, audits: Series, queue: Series, expected: str | None
) -> None:
    data = {"audits": audits, "queue": queue}
    assert state("auditor.yaml", {"Side": "data"}, "AuditorSilentAlarm", data) == expected, what


@pytest.mark.parametrize(
    ("what", "ticks", "queue", "expected"),
    [
        ("a stack that isn't there", [None] * 7, [None] * 7, None),
        ("a new stack before its first tick", [None] * 7, [None] * 3 + [0] * 4, None),
        ("its first tick", [None] * 6 + [1], [None] * 3 + [0] * 4, "OK"),
        ("no first tick", [None] * 7, [None] * 2 + [0] * 5, "ALARM"),
        ("ticks that are late", [1, 1, 1] + [None] * 4, [0] * 7, "OK"),
        ("silence", [1, 1] + [None] * 5, [0] * 7, "ALARM"),
        ("silence, and then an idle queue", [None] * 7, [0] * 5 + [None] * 2, "ALARM"),
        ("back", [None] * 6 + [1], [0] * 7, "OK"),
    ],
)
def test_a_monitor_is_silent_if_five_minutes_since_its_queue_exists_have_no_tick(
    what: str, ticks: Series, queue: Series, expected: str | None
) -> None:
    data = {"ticks": ticks, "queue": queue}
    assert state("data-account.yaml", {}, "MonitorSilentAlarm", data) == expected, what
