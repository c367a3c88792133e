"""The dashboard and the alarms use metrics that exist, and the documents describe both."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from dashboard import NAMES, ROOT, TEMPLATE, body, picture, template

# The AWS metrics that we use, with each namespace's dimension.
OF_AWS = {
    "AWS/SQS": (
        "QueueName",
        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
    ),
    "AWS/Lambda": ("FunctionName", {"Errors", "Throttles", "Duration", "Invocations"}),
}


def listed() -> dict[str, set[tuple[str, ...]]]:
    """Returns the metrics of `docs/metrics.md` with their sets of dimensions."""
    rows = re.findall(
        r"^\| `(\w+)` \| \w+ \| ([^|]+) \|", (ROOT / "docs/metrics.md").read_text(), re.M
    )
    assert len(rows) > 20
    return {
        name: {tuple(re.findall(r"`(\w+)`", one)) for one in sets.split(";")} for name, sets in rows
    }


def exists(namespace: str, name: str, dimensions: tuple[str, ...]) -> bool:
    if namespace == "Landfall":
        return dimensions in listed().get(name, set())
    dimension, names = OF_AWS[namespace]
    return name in names and dimensions == (dimension,)


def alarms() -> dict[str, dict]:
    """Returns the templates' alarms by the ends of their names."""
    found = [
        resource["Properties"]
        for name in (TEMPLATE.name, "provisioner.yaml", "auditor.yaml")
        for resource in template(TEMPLATE.with_name(name))["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    return {alarm["AlarmName"]["Fn::Sub"].removeprefix("${NamePrefix}-"): alarm for alarm in found}


def test_the_dashboard_shows_only_metrics_that_exist() -> None:
    shown = 0
    for widget in body()["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                searched = re.search(
                    r"\{Landfall,([\w,]+)\} MetricName=\"(\w+)\"", metric[0]["expression"]
                )
                if searched:
                    name, dimensions = searched[2], tuple(searched[1].split(","))
                    assert exists("Landfall", name, dimensions), metric
                continue
            namespace, name, *rest = metric
            pairs = rest[:-1] if isinstance(rest[-1], dict) else rest
            assert exists(namespace, name, tuple(pairs[::2])), metric
            assert set(pairs[1::2]) <= set(NAMES.values()), metric
            shown += 1
    assert shown > 20


def test_what_an_expression_of_the_dashboard_names_is_in_its_widget() -> None:
    for widget in body()["widgets"]:
        metrics = widget["properties"].get("metrics", [])
        options = [metric[-1] for metric in metrics if isinstance(metric[-1], dict)]
        ids = {option["id"] for option in options if "id" in option}
        for option in options:
            expression = option.get("expression", "")
            if "SEARCH" not in expression:
                assert set(re.findall(r"\b[a-z]\w*\b", expression)) <= ids, option


def test_widgets_lie_beside_each_other_inside_the_grid() -> None:
    def cells(widget: dict) -> set[tuple[int, int]]:
        columns = range(widget["x"], widget["x"] + widget["width"])
        return {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}

    widgets = body()["widgets"]
    assert all(widget["x"] + widget["width"] <= 24 for widget in widgets)
    for one, other in combinations(widgets, 2):
        assert not cells(one) & cells(other), (one["properties"], other["properties"])


def test_the_dashboard_shows_every_alarm_that_is_always_there() -> None:
    (widget,) = [widget for widget in body()["widgets"] if widget["type"] == "alarm"]
    shown = {arn.split(":alarm:landfall-")[1] for arn in widget["properties"]["alarms"]}
    resources = template()["Resources"].values()
    always = {
        resource["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${NamePrefix}-")
        for resource in resources
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Condition" not in resource
    }
    assert shown == always


@pytest.mark.parametrize("name", alarms())
def test_an_alarm_watches_a_metric_that_exists_and_has_its_page_in_the_runbook(name: str) -> None:
    alarm = alarms()[name]
    stats = [
        metric["MetricStat"]["Metric"]
        for metric in alarm.get("Metrics", [])
        if "MetricStat" in metric
    ]
    for metric in stats or [alarm]:
        dimensions = tuple(dimension["Name"] for dimension in metric["Dimensions"])
        assert exists(metric["Namespace"], metric["MetricName"], dimensions), metric
    runbook = (ROOT / "docs/runbook.md").read_text()
    assert f"\n### {name}\n" in runbook


def test_the_runbook_has_no_page_of_an_alarm_that_is_gone() -> None:
    runbook = (ROOT / "docs/runbook.md").read_text()
    pages = runbook.split("\n## Alarms\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^### (.+)$", pages, re.M)) == set(alarms())


def test_the_picture_in_the_documents_is_that_of_the_template() -> None:
    assert (ROOT / "docs/dashboard.svg").read_text() == picture(), (
        "python tests/python/dashboard.py > docs/dashboard.svg"
    )
