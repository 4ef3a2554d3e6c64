"""A small GPT-2 learns to write like Hamlet: a decoder-only Transformer on characters, trained to predict the next one.

Run: python examples/gpt.py [--steps STEPS] [--length LENGTH] [--temperature TEMPERATURE] [--untied] [--graph FOLDER]

The architecture is that of GPT-2 (Radford et al. 2019, "Language models are unsupervised multitask learners"), and so
are the names: learned positions, layer norms before attention and feed-forward layers and one at the end, the tanh
approximation of GELU, and a head that shares its weight with the embedding unless --untied is given. To carry weights
over from a GPT-2 checkpoint, make a GPT of its sizes and load

    here                                         in the checkpoint
    wte.weight, wpe.weight, ln_f.weight, .bias   the same
    h.N.ln_1.weight, .bias and h.N.ln_2          the same
    h.N.attn.in_proj_weight, in_proj_bias        h.N.attn.c_attn.weight transposed, .bias
    h.N.attn.out_proj.weight, .bias              h.N.attn.c_proj.weight transposed, .bias
    h.N.mlp.c_fc.weight, .bias                   h.N.mlp.c_fc.weight transposed, .bias
    h.N.mlp.c_proj.weight, .bias                 h.N.mlp.c_proj.weight transposed, .bias

where the matrices are transposed because GPT-2 stores them as (inputs, outputs).

The exit code is 1 if the network, after the full number of steps, needs more than 1.78 nats for a character that it has
not been trained on.
"""

from __future__ import annotations

import argparse
import math
import time
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import graphc as gr
from graphc.datasets import load_text

STEPS, WARMUP = 800, 50
WANTED_LOSS = 1.78
BATCH, TIME = 32, 64
LAYERS, HEADS, WIDTH = 4, 4, 128

Integers = NDArray[np.int64]


class MLP(gr.nn.Module):
    """Two linear layers for each item, four times as wide between them."""

    def __init__(self, width: int, layers: int) -> None:
        self.c_fc = gr.nn.Linear(width, 4 * width, init=partial(gr.nn.init.normal, std=0.02))
        self.c_proj = gr.nn.Linear(4 * width, width, init=partial(gr.nn.init.normal, std=0.02 / math.sqrt(2 * layers)))

    def forward(self, x: gr.Value) -> gr.Value:
        """(batch, time, width) to the same shape."""
        result: gr.Value = self.c_proj(gr.gelu(self.c_fc(x), approximate="tanh"))
        return result


class Block(gr.nn.Module):
    """Causal self-attention and an MLP, each added to what goes into it."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        self.ln_1 = gr.nn.LayerNorm(width)
        self.attn = gr.nn.MultiheadAttention(width, heads, init=partial(gr.nn.init.normal, std=0.02))
        self.attn.out_proj.weight.value /= math.sqrt(2 * layers)  # the sum of all blocks then starts with variance 1
        self.ln_2 = gr.nn.LayerNorm(width)
        self.mlp = MLP(width, layers)

    def forward(self, x: gr.Value) -> gr.Value:
        """(batch, time, width) to the same shape."""
        x = x + self.attn(self.ln_1(x), causal=True)
        result: gr.Value = x + self.mlp(self.ln_2(x))
        return result


class GPT(gr.nn.Module):
    """Characters as integers (batch, time) to logits of the next ones (batch, time, characters)."""

    def __init__(self, characters: int, time: int, width: int, layers: int, heads: int, tied: bool = True) -> None:
        table = partial(gr.nn.Embedding, init=partial(gr.nn.init.normal, std=0.02))
        self.wte, self.wpe = table(characters, width), table(time, width)
        self.h = [Block(width, heads, layers) for _ in range(layers)]
        self.ln_f = gr.nn.LayerNorm(width)
        self.lm_head = None if tied else gr.nn.Linear(width, characters, bias=False)

    def forward(self, ids: gr.Value) -> gr.Value:
        """The logits; ``time`` is at most that of the constructor."""
        x = self.wte(ids) + self.wpe(gr.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        x = self.ln_f(x)
        result: gr.Value = x @ self.wte.weight.T if self.lm_head is None else self.lm_head(x)
        return result


def pieces(text: Integers, starts: Integers) -> tuple[Integers, Integers]:
    """Pieces of TIME characters, and for each character the next one."""
    places = starts[:, None] + np.arange(TIME)
    return text[places], text[places + 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS, help="how many batches of text to train on")
    parser.add_argument("--length", type=int, default=600, help="how many characters to write")
    parser.add_argument("--temperature", type=float, default=0.7, help="lower: likelier characters; higher: rarer ones")
    parser.add_argument("--untied", action="store_true", help="give the head a weight of its own")
    parser.add_argument("--graph", type=Path, metavar="FOLDER", help="write pictures of the graph of the model there")
    options = parser.parse_args()

    start = time.perf_counter()
    text = load_text()
    alphabet = sorted(set(text))
    numbers = np.searchsorted(alphabet, list(text))
    cut = len(numbers) * 9 // 10
    training, held_out = numbers[:cut], numbers[cut:]
    print(f"{len(text):,} characters, {len(alphabet)} different ones; the last tenth is kept for the test")

    model = GPT(len(alphabet), TIME, WIDTH, LAYERS, HEADS, tied=not options.untied)
    ids = gr.placeholder(("batch", "time"), "int64", name="ids")
    target = gr.placeholder(("batch", "time"), "int64", name="target")
    logits = model(ids)
    loss = gr.cross_entropy(gr.reshape(logits, (-1, len(alphabet))), gr.flatten(target, 0))
    print(f"{sum(parameter.value.size for parameter in model.parameters()):,} parameters")

    rate = gr.optim.schedules.linear_warmup(
        gr.optim.schedules.cosine_decay(3e-3, max(options.steps - WARMUP, 1), min_lr=1e-4), WARMUP
    )
    optimizer = gr.optim.AdamW(
        rate, betas=(0.9, 0.99), weight_decay=0.1, gradient_clip=gr.optim.clip_by_global_norm(1.0)
    )
    step = gr.compile([ids, target], loss, updates=optimizer.updates(loss, model.parameters()))
    test = gr.compile([ids, target], loss)

    rng = np.random.default_rng(0)
    losses = []
    for number in range(options.steps):
        losses.append(step(*pieces(training, rng.integers(0, len(training) - TIME, BATCH))))
        if (number + 1) % 50 == 0 or number + 1 == options.steps:
            print(f"step {number + 1:4d}  loss {np.mean(losses[-50:]):.3f}  {time.perf_counter() - start:5.1f} s")
    starts = np.arange(0, len(held_out) - TIME, TIME)
    final = float(
        np.mean([test(*pieces(held_out, some)) for some in np.split(starts, range(BATCH, len(starts), BATCH))])
    )

    # Writing: the last TIME characters in, the next one out, drawn with the probabilities softmax(logits /
    # temperature): the largest sum of a logit and Gumbel noise.
    temperature = gr.placeholder((), name="temperature")
    last = logits[:, -1]
    noise = -gr.log(-gr.log(gr.random.uniform(last.shape)))
    write = gr.compile([ids, temperature], gr.argmax(last / temperature + noise, axis=-1))
    written = [alphabet.index("\n")]
    for _ in range(options.length):
        written.append(write(np.array([written[-TIME:]]), np.float32(options.temperature)).item())
    print("".join(alphabet[number] for number in written))

    if options.graph:
        options.graph.mkdir(parents=True, exist_ok=True)
        for suffix in ("dot", "svg"):
            test.save_graph(options.graph / f"gpt.{suffix}", "written")
        print(f"graph written to {options.graph}: gpt.dot and gpt.svg")
    print(f"{time.perf_counter() - start:.1f} s in all")
    print(f"test loss {final:.3f} nats a character (wanted after {STEPS} steps: at most {WANTED_LOSS})")
    return 0 if final <= WANTED_LOSS or options.steps < STEPS else 1


if __name__ == "__main__":
    raise SystemExit(main())
