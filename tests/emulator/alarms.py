"""CloudWatch's alarms: judged every minute, by the metric and the settings that they name."""

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

# A datum may be a moment late.
LATENESS = MINUTE / 4
# How much farther back than it must CloudWatch looks for data; its documentation's examples do so.
FARTHER = 2

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}

logger = logging.getLogger("launcher")


def correct_alarms() -> None:
    """Judge alarms every minute, by their dimensions, periods and missing data.

    The emulator judges them when a metric is put, by all metrics of a name whatever their
    dimensions, and never for the lack of data; it takes no alarm with metric math.
    """
    replace(cloudwatch, "_evaluate_alarm", judge)
    original_start = replace(eventbridge, "start_scheduler", lambda: (original_start(), start()))

    def record(name: str, properties: dict) -> dict:
        queries = properties.get("Metrics")
        if not queries:
            return original_record(name, properties)
        # What the emulator demands of an alarm of one metric, and then is not there.
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
    """A query of a template, whose numbers and booleans may be text."""
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
    """Measure the queues and judge the alarms of all accounts, a moment after each minute's end."""
    while True:
        end = last_minute(time.time()) + MINUTE
        time.sleep(max(0.0, end - time.time()))
        for account in scopes(sqs._queues):
            tell_of_failure(account, measure_queues, end - MINUTE / 100)
        time.sleep(LATENESS)
        for account in scopes(cloudwatch._alarms):
            for alarm in list(cloudwatch._alarms.values()):
                tell_of_failure(f"{account}, {alarm['AlarmName']}", judge, alarm)


def scopes(things: Any) -> Iterator[str]:
    """Enters each account and region that has things of a kind."""
    for account, region in sorted({key[:2] for key, _ in things.all_items()}):
        set_request_account_id(account)
        set_request_region(region)
        yield account


def tell_of_failure(of: str, act: Callable[[Any], None], given: Any) -> None:
    """Act, and go on with what is next in any case."""
    try:
        act(given)
    except Exception:
        logger.exception("the alarms' clock failed for %s", of)


def last_minute(moment: float) -> float:
    """The end of the last minute that is over, for what may be a moment late."""
    return (moment - LATENESS) // MINUTE * MINUTE


def judge(alarm: dict) -> None:
    """Bring an alarm into the state that its data ask for."""
    try:
        data = data_of(alarm, last_minute(time.time()))
    except Unsupported as problem:
        logger.warning("alarm `%s` is not judged: %s", alarm["AlarmName"], problem)
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
    """A value for each period before `end`, the newest first; `None` where there is no datum."""
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
    """The statistic of a metric in each of `count` periods before `end`, the newest first."""
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
    """The state that data ask for, and why; `None` to stay in the one that is.

    As CloudWatch documents it under "Configuring how alarms treat missing data": real data, also
    from farther back, go before what missing ones are treated as.
    """
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm") or periods
    operator, threshold = alarm["ComparisonOperator"], alarm["Threshold"]
    real = [value for value in data if value is not None][:periods]
    breaching = sum(COMPARE[operator](value, threshold) for value in real)
    filled, treated = periods - len(real), alarm["TreatMissingData"]
    told = f"{len(real)} data {real} of {periods} periods, {operator} {threshold}: {breaching}"
    if filled and breaching < needed and breaching == len(real):
        # Nothing speaks against the alarm, and not enough for it.
        if treated == "ignore":
            return None, told
        if treated == "missing":
            return ("ALARM" if real else "INSUFFICIENT_DATA"), told
    if treated == "breaching":
        breaching += filled
    return ("ALARM" if breaching >= needed else "OK"), f"Threshold Crossed: {told}"


def correct_length_of_minutes() -> None:
    """Let a minute of schedules last what `LOCAL_CLOUD_MINUTE_SECONDS` says, as that of alarms.

    A test of alarms would otherwise take hours. All else of them stays as the template has it.
    """
    if MINUTE == 60:
        return

    def seconds(expression: str) -> float | None:
        found = original(expression)
        return None if found is None else found / 60 * MINUTE

    original = replace(eventbridge, "_parse_rate_seconds", seconds)
    replace(eventbridge, "_SCHEDULER_TICK_INTERVAL", MINUTE / 10)
