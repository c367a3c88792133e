"""Reads the dashboard from `infra/data-account.yaml`, and draws it for the documents.

python tests/python/dashboard.py > docs/dashboard.svg
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

import cfnlint.decode

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
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")
COLUMN, ROW, GAP = 50, 30, 4


def template(path: Path = TEMPLATE) -> dict[str, Any]:
    """Returns a template, with its functions in their long form."""
    found, problems = cfnlint.decode.decode(str(path))
    assert found is not None, problems
    return found


def body() -> dict[str, Any]:
    """Returns the dashboard of a stack with the default names."""
    text = template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    return json.loads(re.sub(r"\$\{([^}]+)\}", lambda found: NAMES[found[1]], text))


def labels(widget: dict[str, Any]) -> list[str]:
    """Returns the labels in a widget's legend."""
    found = []
    for metric in widget["properties"].get("metrics", []):
        options = metric[-1] if isinstance(metric[-1], dict) else {}
        if options.get("visible", True):
            searched = re.search(r"\{Landfall,Ledger,(\w+)\}", options.get("expression", ""))
            found.append(f"by {searched[1].lower()}" if searched else options["label"])
    return found


def picture() -> str:
    """Returns the dashboard's layout, without data, as SVG."""
    widgets = body()["widgets"]
    height = max(widget["y"] + widget["height"] for widget in widgets) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{24 * COLUMN}" height="{height}" fill="#f2f3f3"/>',
    ]
    for widget in widgets:
        parts.extend(drawn(widget))
    return "\n".join([*parts, "</svg>"]) + "\n"


def drawn(widget: dict[str, Any]) -> list[str]:
    x, y = widget["x"] * COLUMN + GAP, widget["y"] * ROW + GAP
    width, height = widget["width"] * COLUMN - 2 * GAP, widget["height"] * ROW - 2 * GAP
    properties = widget["properties"]
    if widget["type"] == "text":
        text = re.sub(r"[*`]", "", properties["markdown"])
        return [f'<text x="{x + 4}" y="{y + 15}" font-size="14">{escape(text)}</text>']
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="#fff"/>',
        f'<text x="{x + 8}" y="{y + 18}" font-weight="bold">{escape(properties["title"])}</text>',
    ]
    if widget["type"] == "alarm":
        for number, arn in enumerate(properties["alarms"]):
            at_x, at_y = x + 8 + number % 7 * 168, y + 30 + number // 7 * 26
            name = escape(arn.split(":alarm:")[1])
            parts.append(
                f'<rect x="{at_x}" y="{at_y}" width="162" height="20" rx="3" fill="#eaf6ed"/>'
            )
            parts.append(f'<text x="{at_x + 6}" y="{at_y + 14}" font-size="11">{name}</text>')
        return parts
    if widget["type"] == "log":
        columns = re.search(r"fields ([^|]+)", properties["query"])[1].split(",")
        for number, column in enumerate(columns):
            at = x + 8 + number * (width - 16) // len(columns)
            parts.append(
                f'<text x="{at}" y="{y + 40}" fill="#687078">{escape(column.strip())}</text>'
            )
        return parts
    found = labels(widget)
    floor = y + height - 14 - 17 * len(found)
    for line in range(4):
        at = y + 32 + line * (floor - y - 36) // 3
        parts.append(f'<path d="M{x + 8} {at}H{x + width - 8}" stroke="#eaeded"/>')
    for number, label in enumerate(found):
        at = floor + 16 + 17 * number
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x + 8}" y="{at - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 24}" y="{at}" font-size="12">{escape(label)}</text>')
    return parts


if __name__ == "__main__":
    print(picture(), end="")
