"""A Glue job that takes its time before it reads, so that the demo can delete the reader role.

Prints how many rows each object of its batch has, as one line of JSON.
"""

import json
import time

import landfall

time.sleep(20)
with landfall.batch() as batch:
    rows = {}
    for item in batch.objects:
        with batch.open(item) as body:
            rows[item.key] = len(body.read().splitlines()) - 1
    print(json.dumps(rows), flush=True)
