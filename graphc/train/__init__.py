"""The training loop, mini-batches, callbacks, metrics and checkpoints."""

from graphc.train.batches import Batches
from graphc.train.callbacks import Callback, EarlyStopping, LambdaCallback
from graphc.train.checkpoint import CheckpointInfo, inspect_checkpoint, load_checkpoint, save_checkpoint
from graphc.train.checkpoint_callback import Checkpoint
from graphc.train.evaluation import evaluate
from graphc.train.fit import fit
from graphc.train.history import History
from graphc.train.metrics import accuracy, binary_accuracy
from graphc.train.tensors import load_safetensors, save_safetensors

__all__ = [
    "Batches",
    "Callback",
    "Checkpoint",
    "CheckpointInfo",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "accuracy",
    "binary_accuracy",
    "evaluate",
    "fit",
    "inspect_checkpoint",
    "load_checkpoint",
    "load_safetensors",
    "save_checkpoint",
    "save_safetensors",
]
