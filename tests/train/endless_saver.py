"""Save checkpoints to a file again and again, and say so after each: a process to be killed.

All items of a checkpoint are one number, which grows.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np

import graphc as gr

path, first = sys.argv[1], int(sys.argv[2])
variables = {f"v{place}": gr.variable(np.zeros(50_000)) for place in range(8)}
for number in itertools.count(first):
    for variable in variables.values():
        variable.value = np.full(50_000, float(number))
    gr.train.save_checkpoint(path, metadata={"number": number}, variables=variables)
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
