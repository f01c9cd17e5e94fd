"""min, max, mean, std, count and quantiles of each feature, of an episode and of a data set."""

from typing import Any

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
MOST = 150  # pixels along the longer side that are counted of a picture
Statistics = dict[str, Any]  # name -> nested lists


def of_numbers(values: np.ndarray) -> Statistics:
    """Of rows (N,) or (N, n): lists of n."""
    table = np.asarray(values, np.float64).reshape(len(values), -1)
    found = {"min": table.min(0), "max": table.max(0), "mean": table.mean(0), "std": table.std(0)}
    found |= {name: np.quantile(table, q, axis=0) for name, q in QUANTILES.items()}
    return {name: value.tolist() for name, value in found.items()} | {"count": [len(table)]}


class PictureStatistics:
    """Of pictures uint8 (height, width, 3), as values from 0 to 1: lists of (3, 1, 1)."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, 256), np.int64)
        self._pictures = 0

    def add(self, image: np.ndarray) -> None:
        """One more; of a large one every so many pixels."""
        step = max(1, max(image.shape[:2]) // MOST)
        pixels = image[::step, ::step].reshape(-1, 3).astype(np.int64) + np.arange(3) * 256
        self._counts += np.bincount(pixels.reshape(-1), minlength=768).reshape(3, 256)
        self._pictures += 1

    def merge(self, other: "PictureStatistics") -> None:
        """Those of another one, too."""
        self._counts += other._counts
        self._pictures += other._pictures

    def statistics(self) -> Statistics:
        """Of all pictures so far."""
        levels, shares = np.arange(256) / 255, self._counts / self._counts.sum(1, keepdims=True)
        mean = shares @ levels
        below, there = np.cumsum(shares, 1), self._counts > 0
        found = {
            "min": levels[there.argmax(1)],
            "max": levels[255 - there[:, ::-1].argmax(1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0)),
        }
        found |= {name: levels[np.minimum((below < q).sum(1), 255)] for name, q in QUANTILES.items()}
        shaped = {name: value.reshape(3, 1, 1).tolist() for name, value in found.items()}
        return shaped | {"count": [self._pictures]}
