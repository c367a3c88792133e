"""CloudWatch's metrics: those in log lines, of functions and of queues."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs, lambda_svc, sqs

from corrections import replace

# Namespace, name, dimensions, unit, values and time.
Metric = tuple[str, str, dict[str, str], str, list[float], float]

# The metrics of queues that Landfall's alarms and dashboard use, with the queue's attributes.
OF_QUEUES = {
    "ApproximateNumberOfMessagesVisible": "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible": "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed": "ApproximateNumberOfMessagesDelayed",
}


def correct_metrics_in_logs() -> None:
    """Extracts metrics from log lines in CloudWatch's embedded metric format, as CloudWatch does.

    The emulator keeps such lines as text, so none of Landfall's metrics would ever exist.
    """

    def append(stream: dict, events: list[dict]) -> None:
        original(stream, events)
        for event in events:
            for namespace, name, dimensions, unit, value, moment in embedded(event["message"]):
                cloudwatch._store_datum(
                    namespace, name, dimensions, moment, unit, None, value, None, None
                )

    original = replace(cloudwatch_logs, "_append_log_events", append)


def embedded(line: str) -> list[Metric]:
    """Returns the metrics of a line, once for each set of dimensions; empty if it has none.

    It ignores anything that violates the format's specification, as CloudWatch does.
    """
    if '"_aws"' not in line:
        return []
    try:
        return list(specified(json.loads(line)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def specified(entry: dict) -> Iterator[Metric]:
    moment = entry["_aws"]["Timestamp"] / 1000
    for directive in entry["_aws"]["CloudWatchMetrics"]:
        for names in directive.get("Dimensions") or [[]]:
            dimensions = {name: entry.get(name) for name in names}
            if not all(isinstance(value, str) for value in dimensions.values()):
                continue
            for metric in directive["Metrics"]:
                values = entry.get(metric["Name"])
                values = values if isinstance(values, list) else [values]
                if values and all(type(value) in (int, float) for value in values):
                    unit = metric.get("Unit", "None")
                    yield directive["Namespace"], metric["Name"], dimensions, unit, values, moment


def correct_metrics_of_functions() -> None:
    """Measures each execution of a function, whoever invoked it, and only the throttle of a
    throttled one.

    Lambda does that. The emulator measures only invocations through the API. So it counts neither
    those by schedules and queues nor the errors of asynchronous invocations, and it counts a
    throttled invocation twice.
    """

    def execute(func: dict, config: dict, *rest: Any) -> dict:
        began = time.time()
        result = original_execute(func, config, *rest)
        milliseconds = (time.time() - began) * 1000
        name = config.get("FunctionName", "unknown")
        original_emit(name, milliseconds, bool(result.get("error")), False)
        return result

    def emit(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        # Only the call about a throttled execution has no duration.
        if throttle and duration_ms == 0:
            dimensions = {"FunctionName": function_name}
            cloudwatch.record_metric("AWS/Lambda", "Throttles", 1, "Count", dimensions)

    original_execute = replace(lambda_svc, "_execute_function_dispatch", execute)
    original_emit = replace(lambda_svc, "_emit_lambda_metrics", emit)


def measure_queues(moment: float) -> None:
    """Measures the account's queues, as SQS does each minute. The emulator never does."""
    for queue in list(sqs._queues.values()):
        sqs._refresh_counts(queue)
        dimensions = {"QueueName": queue["name"]}
        values = {
            metric: float(queue["attributes"][attribute]) for metric, attribute in OF_QUEUES.items()
        }
        sent = [message["sent_at"] for message in queue["messages"]]
        units = dict.fromkeys(values, "Count") | {"ApproximateAgeOfOldestMessage": "Seconds"}
        values["ApproximateAgeOfOldestMessage"] = max(0.0, moment - min(sent, default=moment))
        for metric, value in values.items():
            cloudwatch._store_datum(
                "AWS/SQS", metric, dimensions, moment, units[metric], value, None, None, None
            )
