"""Convolution as sliding windows and one matrix product, against naive loops and SciPy.

Run: python examples/seeds/convolution_by_windows.py
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.signal
from numpy.typing import NDArray

import graphc as gr

Array = NDArray[np.float64]

SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "one 2-D image, one kernel": ((1, 8, 9), (1, 3, 2)),
    "one 3-D image, one kernel": ((1, 6, 7, 8), (1, 2, 3, 3)),
    "a batch of 2-D images, several kernels": ((5, 8, 9), (4, 3, 3)),
    "a batch of images with channels, several kernels": ((5, 3, 8, 9), (4, 3, 3, 3)),
}


def correlate(images: gr.Value, kernels: gr.Value) -> gr.Value:
    """Each of (batch, *image) with each of (count, *kernel), wherever it fits: (batch, count, *places)."""
    count, *kernel = kernels.shape
    windows = gr.sliding_window(images, kernel, axis=range(1, images.ndim))  # (batch, *places, *kernel), not copied
    places = windows.shape[: images.ndim]
    products = windows.reshape((*places, -1)) @ kernels.reshape((count, -1)).T  # (batch, *places, count)
    result: gr.Value = gr.moveaxis(products, -1, 1)
    return result


def correlate_by_loops(images: Array, kernels: Array) -> Array:
    """The same, an item at a time."""
    kernel = kernels.shape[1:]
    places = [size - window + 1 for size, window in zip(images.shape[1:], kernel, strict=True)]
    result = np.zeros((len(images), len(kernels), *places))
    for index in np.ndindex(result.shape):
        image, number, place = index[0], index[1], index[2:]
        for offset in itertools.product(*map(range, kernel)):
            there = tuple(start + step for start, step in zip(place, offset, strict=True))
            result[index] += images[(image, *there)] * kernels[(number, *offset)]
    return result


def correlate_by_scipy(images: Array, kernels: Array) -> Array:
    """The same by `scipy.signal`."""
    return np.array([[scipy.signal.correlate(image, kernel, mode="valid") for kernel in kernels] for image in images])


def run(images: Array, kernels: Array) -> Array:
    """What the graph gives for arrays."""
    x, k = (gr.placeholder(array.shape, "float64") for array in (images, kernels))
    result: Array = gr.compile([x, k], correlate(x, k))(images, kernels)
    return result


def main() -> None:
    random = np.random.default_rng(0)
    for name, shapes in SHAPES.items():
        images, kernels = map(random.standard_normal, shapes)
        result = run(images, kernels)
        print(f"{name}: {images.shape} and {kernels.shape} to {result.shape}")
        print(f"    largest difference from the loops {np.abs(result - correlate_by_loops(images, kernels)).max():.1e}")
        print(f"    largest difference from SciPy     {np.abs(result - correlate_by_scipy(images, kernels)).max():.1e}")


if __name__ == "__main__":
    main()
