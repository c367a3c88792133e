"""Starts the emulator through `python/launcher.py`, with two corrections more.

`aws:SecureTransport` is true: the emulator speaks plain HTTP, and the templates' policies deny what
comes without TLS, as they should. It stands for a proxy in front that ends TLS.

`MaximumConcurrency` of an event source mapping is a number: CloudFormation makes one of a
parameter's text, the emulator leaves the text, and its poller then fails.
"""

import runpy
from pathlib import Path

from ministack import app
from ministack.services import lambda_svc

pin_request_origin = app.pin_request_origin
app.pin_request_origin = lambda address, _secure: pin_request_origin(address, True)

concurrency = lambda_svc._sqs_esm_concurrency


def concurrency_of_number(mapping: dict, *rest: object) -> int:
    scaling = mapping.get("ScalingConfig") or {}
    if isinstance(scaling.get("MaximumConcurrency"), str):
        scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
    return concurrency(mapping, *rest)


lambda_svc._sqs_esm_concurrency = concurrency_of_number
runpy.run_path(str(Path(__file__).parent / "python" / "launcher.py"), run_name="__main__")
