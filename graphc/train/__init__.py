"""The training loop, mini-batches, callbacks and metrics."""

from graphc.train.batches import Batches
from graphc.train.callbacks import Callback, EarlyStopping, LambdaCallback
from graphc.train.evaluation import evaluate
from graphc.train.fit import fit
from graphc.train.history import History
from graphc.train.metrics import accuracy, binary_accuracy

__all__ = [
    "Batches",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "accuracy",
    "binary_accuracy",
    "evaluate",
    "fit",
]
