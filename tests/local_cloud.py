"""Starts the emulator through `python/launcher.py`, with three corrections more.

`aws:SecureTransport` is true: the emulator speaks plain HTTP, and the templates' policies deny what
comes without TLS, as they should. It stands for a proxy in front that ends TLS.

`MaximumConcurrency` of an event source mapping is a number: CloudFormation makes one of a
parameter's text, the emulator leaves the text, and its poller then fails.

`AllocatedCapacity` of a job run is an integer, as Glue's model has it: SDKs with types refuse the
fraction that the emulator takes from a Python shell job's `MaxCapacity`.
"""

import runpy
from collections.abc import Callable
from pathlib import Path

from ministack import app
from ministack.services import glue, lambda_svc

pin_request_origin = app.pin_request_origin
app.pin_request_origin = lambda address, _secure: pin_request_origin(address, True)

concurrency = lambda_svc._sqs_esm_concurrency


def concurrency_of_number(mapping: dict, *rest: object) -> int:
    scaling = mapping.get("ScalingConfig") or {}
    if isinstance(scaling.get("MaximumConcurrency"), str):
        scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
    return concurrency(mapping, *rest)


def with_whole_capacities(answer: Callable[[dict], object]) -> Callable[[dict], object]:
    def corrected(request: dict) -> object:
        for run in glue._job_runs.get(request.get("JobName"), []):
            run["AllocatedCapacity"] = int(run["AllocatedCapacity"] or 0)
        return answer(request)

    return corrected


lambda_svc._sqs_esm_concurrency = concurrency_of_number
glue._get_job_run = with_whole_capacities(glue._get_job_run)
glue._get_job_runs = with_whole_capacities(glue._get_job_runs)
runpy.run_path(str(Path(__file__).parent / "python" / "launcher.py"), run_name="__main__")
