"""Real images: Fashion-MNIST from a folder, the cache or the network; scikit-learn's digits where none of them has it.

Source of the data: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms, 2017, arXiv:1708.07747; MIT licence, copyright 2017 Zalando SE.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..simulate._common import read_bool, read_choice, read_count, short
from ._download import FILES, Unavailable, fetch
from ._idx import SIDE, parse_images, parse_labels, unpack

__all__ = ["ImageSet", "fashion_mnist", "real_images"]

NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Grey images with class labels; ``len`` gives their number N. InputError if the arrays do not fit each other.

    Attributes
    ----------
    images : (N, pixels) float64 in [0, 1], 0 the background; row by row.
    labels : (N,) int64, an index into ``names``.
    names : what the classes are called.
    source : "fashion-mnist" or "digits".
    shape : rows and columns of an image, (28, 28) or (8, 8).
    folder : the folder that the files are in, or None.
    notice : None, or one line that says why these are not the images that were asked for.
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    source: str
    shape: tuple[int, int]
    folder: Path | None = None
    notice: str | None = None

    def __post_init__(self) -> None:
        pixels = self.shape[0] * self.shape[1]
        if np.shape(self.images) != (len(self.labels), pixels):
            raise InputError(
                f"images must have the shape (number of labels, pixels) = ({len(self.labels)}, {pixels}), "
                f"got {np.shape(self.images)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        # It is printed in notebooks, whose stored outputs are compared: no folder.
        rows, columns = self.shape
        return f"ImageSet({len(self)} images of {self.source}, {rows} x {columns} pixels, {len(self.names)} classes)"

    def first(self, count: int) -> ImageSet:
        """The first ``count`` images, in a copy of their own. InputError unless 1 <= count <= N."""
        count = read_count(count, "count")
        if count > len(self):
            raise InputError(
                f"count must be at most {len(self)}, the number of images of {self.source} here; got {count}"
            )
        return ImageSet(
            self.images[:count].copy(),
            self.labels[:count].copy(),
            self.names,
            self.source,
            self.shape,
            self.folder,
            self.notice,
        )

    def of(self, label: int) -> np.ndarray:
        """The images of one class in their order, a copy: (n, pixels). InputError if there is none."""
        known = ", ".join(f"{index} ({name})" for index, name in enumerate(self.names))
        whole = isinstance(label, (int, np.integer)) and not isinstance(label, (bool, np.bool_))
        if not whole or not 0 <= label < len(self.names):
            raise InputError(f"label must be a class of {self.source}, one of {known}; got {short(label)}")
        chosen = self.images[self.labels == label]
        if not len(chosen):
            raise InputError(
                f"none of these {len(self)} images is of class {label} ({self.names[label]}); take more images, or another class"
            )
        return chosen


def fashion_mnist(
    split: str = "test",
    *,
    folder: str | os.PathLike | None = None,
    download: bool = True,
    progress: bool | None = None,
) -> ImageSet:
    """The images of Fashion-MNIST: 60,000 (train) or 10,000 (test) of 28 x 28 pixels in 10 classes, divided by 255.

    They are read from ``folder``; where that is None, from the folder in the environment variable FASHION_MNIST_DIR;
    where that is not set, from the cache of downloads, which is filled where it has to be. The cache is
    ``meanfield-sgd/fashion-mnist`` below $XDG_CACHE_HOME, ~/.cache, ~/Library/Caches (macOS) or %LOCALAPPDATA%
    (Windows).

    A folder holds the data set's own IDX files, gzipped or unpacked. What they say of themselves is checked (magic
    numbers, sizes, number of bytes, gzip's checksum, labels), not their number of images: a folder may hold fewer.
    Downloaded files are complete, by their MD5 checksums. An interrupted download is resumed by the next call, and two
    processes may call at once.

    Parameters
    ----------
    split : "train" or "test".
    folder : a folder with the two files of the split, or None.
    download : False: the cache is read and nothing downloaded. MEANFIELD_SGD_OFFLINE=1 in the environment forbids it too.
    progress : a bar on stderr while downloading; None: only on a terminal.

    Returns
    -------
    ImageSet
        float64 images (N, 784) and int64 labels (N,).

    Raises
    ------
    InputError if the folder does not hold the files, or a file in it is damaged (the message names it); or if there
        are none here and they cannot be downloaded (the message says where to put them).
    KeyboardInterrupt on Ctrl-C; what has arrived is kept.

    Source: Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747 (MIT licence).
    """
    split = read_choice(split, "split", tuple(FILES))
    download = read_bool(download, "download")
    if progress is not None:
        progress = read_bool(progress, "progress")
    if folder is not None and not isinstance(folder, (str, os.PathLike)):
        raise InputError(f"folder must be the path of a folder, got {short(folder)}")
    given = folder if folder is not None else os.environ.get("FASHION_MNIST_DIR") or None
    if given is not None:
        where, paths = _find(split, Path(given), "folder" if folder is not None else "FASHION_MNIST_DIR")
        contents = [_read(path) for path in paths]
    else:
        where, contents = fetch(split, download=download, progress=progress)
        paths = [where / name for name in FILES[split]]
    images, labels = (unpack(data, str(path)) for data, path in zip(contents, paths))
    pixels = parse_images(images, str(paths[0]))
    classes = parse_labels(labels, str(paths[1]))
    if len(pixels) != len(classes):
        raise InputError(
            f"{paths[0]} holds {len(pixels)} images, and {paths[1].name} beside it {len(classes)} labels; "
            "they are not of one set: copy both again"
        )
    return ImageSet(pixels / 255.0, classes, NAMES, "fashion-mnist", (SIDE, SIDE), where)


def real_images(count: int = 4443) -> ImageSet:
    """The first ``count`` test images of Fashion-MNIST; the digits of scikit-learn where they are not to be had.

    The images come from where :func:`fashion_mnist` finds them: the folder in FASHION_MNIST_DIR, the cache, or the
    network. Where there are neither files nor a network, the first ``count`` of the 1,797 digits (8 x 8 pixels, grey
    levels divided by 16) that come with scikit-learn stand in, or all of them if they are fewer, and ``notice`` says so.
    Files that are there but damaged are an error.

    Parameters
    ----------
    count : the number of images, at most 10,000. With 4,443 each class has 415 to 470.

    Returns
    -------
    ImageSet
        ``notice`` is None, or the line to show.

    Raises
    ------
    InputError as :func:`fashion_mnist`; also if there are fewer than ``count`` images in FASHION_MNIST_DIR, or if
        scikit-learn is needed and not installed.

    Source: Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747 (MIT licence); the digits: E. Alpaydin and C. Kaynak, Optical
    Recognition of Handwritten Digits, UCI machine learning repository, 1998 (CC BY 4.0).
    """
    count = read_count(count, "count")
    try:
        found = fashion_mnist("test")
    except Unavailable as error:
        return _digits(count, error)
    return found.first(count)


def why_absent() -> str | None:
    """One line if :func:`real_images` would show digits, else None, also where the files are there and damaged.

    For the tools around the book, which compare and store what notebooks print about the real images only.
    """
    try:
        fashion_mnist("test", progress=False)
    except Unavailable as error:
        return f"Fashion-MNIST is not here: {error.reason}; set FASHION_MNIST_DIR to a folder with its two t10k files"
    except InputError:
        return None
    return None


def _digits(count: int, why: Unavailable) -> ImageSet:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            f"{why}; or have handwritten digits instead of Fashion-MNIST: pip install scikit-learn"
        ) from None
    digits = load_digits()
    count = min(count, len(digits.target))
    notice = (
        f"These are {count} handwritten digits of 8 x 8 pixels from scikit-learn in place of Fashion-MNIST, "
        f"which is not here: {why.reason}; set FASHION_MNIST_DIR to a folder with {' and '.join(FILES['test'])}."
    )
    return ImageSet(
        digits.data[:count] / 16.0,
        digits.target[:count].astype(np.int64),
        tuple(str(name) for name in digits.target_names),
        "digits",
        (8, 8),
        None,
        notice,
    )


def _find(split: str, folder: Path, said: str) -> tuple[Path, list[Path]]:
    """The two files of a split in a folder that was named by ``said``, gzipped or unpacked."""
    folder = folder.expanduser()
    found = []
    for name in FILES[split]:
        unpacked = folder / name.removesuffix(".gz")
        present = [path for path in (folder / name, unpacked) if path.is_file()]
        if not present:
            fault = f"has no file {name} (or {unpacked.name})" if folder.is_dir() else "is not a folder"
            raise InputError(
                f"{said} {str(folder)!r} {fault}; expected the two files {' and '.join(FILES[split])}, gzipped or "
                f"unpacked{'' if said == 'folder' else ' (unset FASHION_MNIST_DIR to have them downloaded)'}"
            )
        found.append(present[0])
    return folder, found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
