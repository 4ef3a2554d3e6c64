"""The training loop, its data, callbacks, metrics, checkpoints and pictures."""

from graphc.train.batches import Batches
from graphc.train.callbacks import Callback, EarlyStopping, LambdaCallback
from graphc.train.checkpoint import CheckpointInfo, inspect_checkpoint, load_checkpoint, save_checkpoint
from graphc.train.checkpoint_callback import Checkpoint
from graphc.train.classification import confusion_matrix, f1_score, precision, recall, top_k_accuracy
from graphc.train.evaluation import evaluate
from graphc.train.evaluator import Evaluator, Metric, mean_over_items, perplexity
from graphc.train.fit import fit
from graphc.train.history import History
from graphc.train.json_log import JSONLog, read_log
from graphc.train.metrics import accuracy, binary_accuracy
from graphc.train.plateau import ReduceOnPlateau
from graphc.train.plots import plot_confusion_matrix, plot_history
from graphc.train.prefetch import Prefetch, prefetch
from graphc.train.stream import Stream
from graphc.train.tensorboard import TensorBoard
from graphc.train.tensors import load_safetensors, save_safetensors

__all__ = [
    "Batches",
    "Callback",
    "Checkpoint",
    "CheckpointInfo",
    "EarlyStopping",
    "Evaluator",
    "History",
    "JSONLog",
    "LambdaCallback",
    "Metric",
    "Prefetch",
    "ReduceOnPlateau",
    "Stream",
    "TensorBoard",
    "accuracy",
    "binary_accuracy",
    "confusion_matrix",
    "evaluate",
    "f1_score",
    "fit",
    "inspect_checkpoint",
    "load_checkpoint",
    "load_safetensors",
    "mean_over_items",
    "perplexity",
    "plot_confusion_matrix",
    "plot_history",
    "precision",
    "prefetch",
    "read_log",
    "recall",
    "save_checkpoint",
    "save_safetensors",
    "top_k_accuracy",
]
