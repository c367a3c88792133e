"""CloudWatch alarms, evaluated every minute by the metrics and settings that they name."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import set_request_account_id, set_request_region
from ministack.services import cloudwatch, eventbridge, sqs
from ministack.services.cloudformation import provisioners

from corrections import MINUTE, replace
from metric_math import Unsupported, evaluated
from metrics import measure_queues

# A datum may arrive this long after its minute.
LATENESS = MINUTE / 4
# The extra periods that CloudWatch looks back for data, as in the examples of its documentation.
FARTHER = 2

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}

logger = logging.getLogger("launcher")


def correct_alarms() -> None:
    """Evaluates alarms every minute, by their dimensions, periods and missing data.

    The emulator evaluates an alarm when somebody puts a metric, uses all metrics of the name
    whatever their dimensions, and ignores missing data. It accepts no alarm with metric math.
    """
    replace(cloudwatch, "_evaluate_alarm", judge)
    original_start = replace(eventbridge, "start_scheduler", lambda: (original_start(), start()))

    def record(name: str, properties: dict) -> dict:
        queries = properties.get("Metrics")
        if not queries:
            return original_record(name, properties)
        # The emulator requires these properties, so set them here and remove them below.
        instead = {"MetricName": "none", "Namespace": "none", "Threshold": 0}
        rest = {key: value for key, value in properties.items() if key != "Metrics"}
        alarm = original_record(name, {**instead, **rest})
        for key in ("MetricName", "Namespace", "Statistic", "Period"):
            alarm[key] = None
        if "ThresholdMetricId" in properties:
            alarm["ThresholdMetricId"] = properties["ThresholdMetricId"]
            alarm["Threshold"] = None
        alarm["Metrics"] = [as_numbers(query) for query in queries]
        return alarm

    original_record = replace(provisioners, "_cw_metric_alarm_record", record)


def as_numbers(query: dict) -> dict:
    """Returns a template's query with real numbers and booleans, which may be text there."""
    query = dict(query)
    if "ReturnData" in query:
        query["ReturnData"] = str(query["ReturnData"]).lower() == "true"
    if "MetricStat" in query:
        stat = query["MetricStat"]
        query["MetricStat"] = {**stat, "Period": int(stat["Period"])}
    return query


def start() -> None:
    threading.Thread(target=run, daemon=True, name="alarms").start()


def run() -> None:
    """Measures the queues and evaluates the alarms of all accounts, just after each minute."""
    while True:
        end = last_minute(time.time()) + MINUTE
        time.sleep(max(0.0, end - time.time()))
        for account in scopes(sqs._queues):
            log_failure(account, measure_queues, end - MINUTE / 100)
        time.sleep(LATENESS)
        for account in scopes(cloudwatch._alarms):
            for alarm in list(cloudwatch._alarms.values()):
                log_failure(f"{account}, {alarm['AlarmName']}", judge, alarm)


def scopes(things: Any) -> Iterator[str]:
    """Yields each account that has such things, once per region, with both set for the request."""
    for account, region in sorted({key[:2] for key, _ in things.all_items()}):
        set_request_account_id(account)
        set_request_region(region)
        yield account


def log_failure(of: str, act: Callable[[Any], None], given: Any) -> None:
    """Calls `act`, and logs an exception instead of raising it, so that the clock goes on."""
    try:
        act(given)
    except Exception:
        logger.exception("the alarms' clock failed for %s", of)


def last_minute(moment: float) -> float:
    """Returns the end of the last minute whose data have arrived, late ones included."""
    return (moment - LATENESS) // MINUTE * MINUTE


def judge(alarm: dict) -> None:
    """Sets an alarm's state by its data, and runs the actions if the state changes."""
    try:
        data = data_of(alarm, last_minute(time.time()))
    except Unsupported as problem:
        logger.warning("failed to evaluate alarm `%s`: %s", alarm["AlarmName"], problem)
        return
    new, reason = verdict(alarm, data)
    old = alarm["StateValue"]
    if new is None or new == old:
        return
    alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def data_of(alarm: dict, end: float) -> list[float | None]:
    """Returns a value for each period before `end`, newest first; `None` if there is no datum."""
    count = alarm["EvaluationPeriods"] + FARTHER
    queries = alarm.get("Metrics")
    if not queries:
        return series(
            alarm["Namespace"],
            alarm["MetricName"],
            alarm.get("Dimensions") or [],
            alarm.get("ExtendedStatistic") or alarm["Statistic"],
            alarm["Period"],
            alarm.get("Unit"),
            count,
            end,
        )
    if "ThresholdMetricId" in alarm:
        raise Unsupported("there is no anomaly detection")
    known: dict[str, list[float | None]] = {}
    for query in queries:
        if stat := query.get("MetricStat"):
            metric = stat["Metric"]
            known[query["Id"]] = series(
                metric["Namespace"],
                metric["MetricName"],
                metric.get("Dimensions") or [],
                stat["Stat"],
                stat["Period"],
                stat.get("Unit"),
                count,
                end,
            )
    expressions = {query["Id"]: query["Expression"] for query in queries if "Expression" in query}
    [returned] = [query["Id"] for query in queries if query.get("ReturnData", True)]
    return [
        evaluated(returned, expressions, {name: values[place] for name, values in known.items()})
        for place in range(count)
    ]


def series(
    namespace: str,
    name: str,
    dimensions: list[dict],
    statistic: str,
    period: int,
    unit: str | None,
    count: int,
    end: float,
) -> list[float | None]:
    """Returns a metric's statistic in each of `count` periods before `end`, newest first."""
    key = (namespace, name, cloudwatch._dims_key(cloudwatch._dims_from_list(dimensions)))
    points = [p for p in list(cloudwatch._metrics.get(key) or []) if unit in (None, p["Unit"])]
    length = period / 60 * MINUTE
    values: list[float | None] = []
    for place in range(count):
        until = end - place * length
        inside = [p for p in points if until - length <= p["Timestamp"] < until]
        statistics = cloudwatch._calc_stats(inside)
        found = cloudwatch._stat_value(statistics, statistic, inside) if statistics else None
        values.append(found)
    return values


def verdict(alarm: dict, data: list[float | None]) -> tuple[str | None, str]:
    """Returns the state that the data require, and the reason; `None` keeps the current state.

    It follows CloudWatch's "Configuring how alarms treat missing data": real data, even from
    farther back, take precedence over the treatment of missing data.
    """
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm") or periods
    operator, threshold = alarm["ComparisonOperator"], alarm["Threshold"]
    real = [value for value in data if value is not None][:periods]
    breaching = sum(COMPARE[operator](value, threshold) for value in real)
    filled, treated = periods - len(real), alarm["TreatMissingData"]
    reason = f"{len(real)} data {real} of {periods} periods, {operator} {threshold}: {breaching}"
    if filled and breaching < needed and breaching == len(real):
        # No datum contradicts the alarm, but too few support it.
        if treated == "ignore":
            return None, reason
        if treated == "missing":
            return ("ALARM" if real else "INSUFFICIENT_DATA"), reason
    if treated == "breaching":
        breaching += filled
    return ("ALARM" if breaching >= needed else "OK"), f"Threshold Crossed: {reason}"


def correct_length_of_minutes() -> None:
    """Makes a minute of schedules last `LOCAL_CLOUD_MINUTE_SECONDS`, like a minute of alarms.

    Otherwise a test of alarms would take hours. The templates' alarms stay as they are.
    """
    if MINUTE == 60:
        return

    def seconds(expression: str) -> float | None:
        found = original(expression)
        return None if found is None else found / 60 * MINUTE

    original = replace(eventbridge, "_parse_rate_seconds", seconds)
    replace(eventbridge, "_SCHEDULER_TICK_INTERVAL", MINUTE / 10)
