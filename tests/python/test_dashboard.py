"""The dashboard and the alarms use metrics that exist, and the documents describe both."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "infra" / "data-account.yaml"
# The values of the template's variables in a stack with the default names.
NAMES = {
    "NamePrefix": "landfall",
    "Ledger": "landfall-ledger",
    "Trigger": "landfall-trigger",
    "Monitor": "landfall-monitor",
    "TriggerLogs": "/aws/lambda/landfall-trigger",
    "MonitorLogs": "/aws/lambda/landfall-monitor",
    "ArrivalsQueue.QueueName": "landfall-arrivals",
    "DeadLetterQueue.QueueName": "landfall-arrivals-dlq",
    "DpuHourPrice": "0.44",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "111111111111",
}

# The AWS metrics that we use, with each namespace's dimension.
OF_AWS = {
    "AWS/SQS": (
        "QueueName",
        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
    ),
    "AWS/Lambda": ("FunctionName", {"Errors", "Throttles", "Duration", "Invocations"}),
}


def template(path: Path = TEMPLATE) -> dict[str, Any]:
    """Returns a template, with its functions in their long form."""
    found, problems = cfnlint.decode.decode(str(path))
    assert found is not None, problems
    return found


def body(*, optional: bool = True) -> dict[str, Any]:
    """Returns the dashboard of a stack with the default names, or without what is optional."""
    text, own = template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    names = dict(NAMES)
    for name, value in own.items():
        chosen = value["Fn::If"][1 if optional else 2] if isinstance(value, dict) else value
        names[name] = filled(chosen["Fn::Sub"] if isinstance(chosen, dict) else chosen, NAMES)
    return json.loads(filled(text, names))


def filled(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda found: names[found[1]], text)


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


@pytest.mark.parametrize("optional", [True, False])
def test_the_dashboard_shows_every_alarm_of_its_stack(optional: bool) -> None:
    (widget,) = [one for one in body(optional=optional)["widgets"] if one["type"] == "alarm"]
    shown = [arn.split(":alarm:landfall-")[1] for arn in widget["properties"]["alarms"]]
    assert sorted(shown) == sorted(alarms_of_the_stack(optional=optional))


def alarms_of_the_stack(*, optional: bool) -> list[str]:
    return [
        resource["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${NamePrefix}-")
        for resource in template()["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
        and (optional or "Condition" not in resource)
    ]


def test_an_alarm_on_the_dashboard_has_the_condition_of_its_resource() -> None:
    _, own = template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown = {
        name: value["Fn::If"][0]
        for value in own.values()
        if isinstance(value, dict) and isinstance(value["Fn::If"][1], dict)
        for name in re.findall(r"\$\{NamePrefix\}-([\w-]+)", value["Fn::If"][1]["Fn::Sub"])
    }
    assert shown == {
        resource["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${NamePrefix}-"): resource[
            "Condition"
        ]
        for resource in template()["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Condition" in resource
    }


def test_the_dashboard_begins_with_numbers() -> None:
    widgets = sorted(body()["widgets"], key=lambda one: (one["y"], one["x"]))
    metrics = [one["properties"] for one in widgets if one["type"] == "metric"]
    numbers = [one for one in metrics if one["view"] == "singleValue"]
    assert numbers == metrics[: len(numbers)]
    assert [one["title"] for one in numbers] == [
        "Landed",
        "Waiting for the trigger",
        "Job runs started",
        "Job runs failed",
        "Parked",
        "Oldest batch that waits to start",
    ]
    # A sum is of the whole time range. Of what is measured every minute, the latest value counts.
    for one in numbers:
        assert (one["stat"] == "Sum") == one.get("setPeriodToTimeRange", False), one


@pytest.mark.parametrize("optional", [True, False])
def test_the_dashboard_links_each_alarm_to_its_page_in_the_runbook(optional: bool) -> None:
    repository = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"][
        "repository"
    ]
    texts = " ".join(
        one["properties"]["markdown"]
        for one in body(optional=optional)["widgets"]
        if one["type"] == "text"
    )
    links = re.findall(r"\[([^]]+)\]\(([^)]+)\)", texts)
    pages = f"{repository}/blob/HEAD/docs/runbook.md"
    assert sorted(links) == sorted(
        (name, f"{pages}#{name}") for name in alarms_of_the_stack(optional=optional)
    )


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
