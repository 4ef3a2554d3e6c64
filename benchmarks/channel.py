"""How a process that is measured hears from the one that measures: lines of JSON, one answer to each request."""

from __future__ import annotations

import json
import os
import sys


def serve(handler: object) -> None:
    """Answer requests, the name and the arguments of a method of `handler` each, until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    for request in sys.stdin:
        name, *arguments = json.loads(request)
        print(json.dumps(getattr(handler, name)(*arguments)), file=answers, flush=True)
