"""Tells copies from lookalikes: thumbnails are aligned, then compared place by place.

A hash knows the layout of a picture only, so that strangers of one layout are near: two discs, two
flags, two skies. Here the thumbnail of the crawled picture is laid on that of the evaluation image,
starting where the variant says, and shifted until it fits best (Gauss-Newton on the six numbers of
an affine map, gain and offset free, outliers weighted down: Lucas and Kanade 1981; Evangelidis and
Psarakis 2008). Then the correlation is taken in a window around each place, and averaged: text or a
logo spoils a few windows, a stranger nearly all.
"""

import numpy as np
from numpy.typing import NDArray

from ingest.evaluation_index.instructions import compiled
from ingest.fingerprint import THUMBNAIL_PX, Luma

Floats = NDArray[np.float64]

_N = THUMBNAIL_PX
_STEPS = 6
# Unit coordinates: the start is right up to a few percent, so that nothing has to move further.
_MAX_STEP, _MAX_MOVE = 0.08, 0.2
_MIN_COVERED, _WINDOW, _MIN_WINDOWS = 0.5, 9, 30
# Grey levels: windows flatter than this say nothing.
_FLAT_STD = 2.0


def aligned_correlation(query: Luma, original: Luma, place: Floats) -> float:
    """Mean correlation of the windows of two thumbnails, -1 to 1; about 0.1 ms.

    query, original: uint8 [32, 32]; place: float64 [2, 3], where the query's unit square, its
    middle at 0, is expected in the original's (`variants.place_of`). 0 if too little is textured.
    """
    if query.shape != (_N, _N) or original.shape != (_N, _N) or place.shape != (2, 3):
        raise ValueError(
            f"expected thumbnails of shape ({_N}, {_N}) and a place of shape (2, 3), got "
            f"{query.shape}, {original.shape} and {place.shape}"
        )
    left, right = query.astype(np.float64), original.astype(np.float64)
    aligned = _align(_smooth(left), _smooth(right), np.ascontiguousarray(place, np.float64))
    return float(_windowed_correlation(left, right, aligned))


def isotropy(thumbnail: Luma) -> float:
    """How much a picture, uint8 [32, 32], changes across its main direction: 0 not, 1 as much.

    The smaller by the larger eigenvalue of the structure tensor (Bigun and Granlund 1987). Near 0
    are gradients, stripes and single edges: they fit whatever has an edge of that direction.
    """
    left, right = thumbnail[:, :-1].astype(np.float64), thumbnail[:, 1:].astype(np.float64)
    means, steps = (left + right) / 2, right - left
    across, down = (steps[:-1] + steps[1:]) / 2, means[1:] - means[:-1]
    # Of four places each, so that the stairs of a slanting edge have one direction.
    across, down = (
        one[:-1, :-1] + one[1:, :-1] + one[:-1, 1:] + one[1:, 1:] for one in (across, down)
    )
    total = (across**2).sum() + (down**2).sum()
    spread = np.hypot((across**2).sum() - (down**2).sum(), 2 * (across * down).sum())
    return float((total - spread) / (total + spread + 1e-9))


@compiled
def _smooth(image: Floats) -> Floats:
    """Binomial 3x3; edges repeat."""
    smoothed = np.empty_like(image)
    for y in range(_N):
        for x in range(_N):
            total = 0.0
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    row, column = min(max(y + dy, 0), _N - 1), min(max(x + dx, 0), _N - 1)
                    total += image[row, column] * (2 - abs(dy)) * (2 - abs(dx))
            smoothed[y, x] = total / 16.0
    return smoothed


@compiled
def _sample(image: Floats, place: Floats, out: Floats) -> int:
    """Fill out[k] with value, x and y gradient at each place, and whether it lies inside.

    out: float64 [1024, 4]; gradients are per unit. Returns how many lie inside.
    """
    inside = 0
    for k in range(_N * _N):
        x, y = (k % _N + 0.5) / _N - 0.5, (k // _N + 0.5) / _N - 0.5
        u = place[0, 0] * x + place[0, 1] * y + place[0, 2]
        v = place[1, 0] * x + place[1, 1] * y + place[1, 2]
        column, row = (u + 0.5) * _N - 0.5, (v + 0.5) * _N - 0.5
        left, top = (
            min(max(int(np.floor(column)), 0), _N - 2),
            min(max(int(np.floor(row)), 0), _N - 2),
        )
        fx, fy = min(max(column - left, 0.0), 1.0), min(max(row - top, 0.0), 1.0)
        a, b = image[top, left], image[top, left + 1]
        c, d = image[top + 1, left], image[top + 1, left + 1]
        out[k, 0] = (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy
        out[k, 1] = ((b - a) * (1 - fy) + (d - c) * fy) * _N
        out[k, 2] = ((c - a) * (1 - fx) + (d - b) * fx) * _N
        limit = 0.5 + 0.5 / _N
        out[k, 3] = 1.0 if abs(u) <= limit and abs(v) <= limit else 0.0
        inside += int(out[k, 3])
    return inside


@compiled
def _fit(query: Floats, samples: Floats) -> tuple[float, float, float, float, float]:
    """Correlation, gain, both means and mean residual of query ~ samples, inside only."""
    n = mean_q = mean_s = 0.0
    for k in range(_N * _N):
        weight = samples[k, 3]
        n += weight
        mean_q += weight * query[k // _N, k % _N]
        mean_s += weight * samples[k, 0]
    mean_q, mean_s = mean_q / n, mean_s / n
    qq = ss = qs = 0.0
    for k in range(_N * _N):
        q, s = query[k // _N, k % _N] - mean_q, samples[k, 0] - mean_s
        weight = samples[k, 3]
        qq += weight * q * q
        ss += weight * s * s
        qs += weight * q * s
    gain = qs / max(ss, 1e-6)
    correlation = qs / np.sqrt(max(qq * ss, 1e-9))
    rest = 0.0
    for k in range(_N * _N):
        q, s = query[k // _N, k % _N] - mean_q, samples[k, 0] - mean_s
        rest += samples[k, 3] * abs(q - gain * s)
    return correlation, gain, mean_q, mean_s, rest / n


@compiled
def _solve(normal: Floats, target: Floats) -> Floats:
    """The solution of a symmetric positive definite system, by Cholesky's decomposition.

    By hand, as numba's needs scipy, which no worker has, and a LAPACK, whose last bits vary.
    """
    size = len(target)
    lower, solution = np.zeros((size, size)), target.copy()
    for i in range(size):
        for j in range(i + 1):
            rest = normal[i, j]
            for k in range(j):
                rest -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(max(rest, 1e-300)) if i == j else rest / lower[j, j]
    for i in range(size):
        for k in range(i):
            solution[i] -= lower[i, k] * solution[k]
        solution[i] /= lower[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            solution[i] -= lower[k, i] * solution[k]
        solution[i] /= lower[i, i]
    return solution


@compiled
def _step(query: Floats, samples: Floats, fit: tuple[float, float, float, float, float]) -> Floats:
    """The change of place [2, 3] that fits best to first order."""
    _, gain, mean_q, mean_s, rest = fit
    scale = 2.0 * (1.2533 * rest + 1e-3)
    normal, target, row = np.zeros((8, 8)), np.zeros(8), np.empty(8)
    for k in range(_N * _N):
        if samples[k, 3] == 0.0:
            continue
        x, y = (k % _N + 0.5) / _N - 0.5, (k // _N + 0.5) / _N - 0.5
        s = samples[k, 0] - mean_s
        residual = query[k // _N, k % _N] - mean_q - gain * s
        weight = 1.0 / (1.0 + (residual / scale) ** 2)
        row[0], row[1], row[2] = samples[k, 1] * x, samples[k, 1] * y, samples[k, 1]
        row[3], row[4], row[5] = samples[k, 2] * x, samples[k, 2] * y, samples[k, 2]
        for i in range(6):
            row[i] *= gain
        row[6], row[7] = s, 1.0
        for i in range(8):
            target[i] += weight * row[i] * residual
            for j in range(i + 1):
                normal[i, j] += weight * row[i] * row[j]
    trace = 0.0
    for i in range(8):
        for j in range(i):
            normal[j, i] = normal[i, j]
        trace += normal[i, i] if i < 6 else 0.0
    for i in range(8):
        normal[i, i] += 1e-3 * trace / 6 + 1e-6 if i < 6 else 1e-6
    return _solve(normal, target)[:6].reshape(2, 3)


@compiled
def _align(query: Floats, original: Floats, start: Floats) -> Floats:
    """The best place on the way from `start`, by correlation."""
    place, best_place, best = start.copy(), start.copy(), -2.0
    samples = np.empty((_N * _N, 4))
    for _ in range(_STEPS + 1):
        if _sample(original, place, samples) < _MIN_COVERED * _N * _N:
            break
        fit = _fit(query, samples)
        if fit[0] > best:
            best, best_place = fit[0], place.copy()
        elif fit[0] < best - 0.05:
            break
        if fit[1] <= 0.0:
            break
        step = _step(query, samples, fit)
        largest = np.abs(step).max()
        if largest > _MAX_STEP:
            step *= _MAX_STEP / largest
        place = place + step
        if np.abs(place - start).max() > _MAX_MOVE:
            break
    return best_place


@compiled
def _windowed_correlation(query: Floats, original: Floats, place: Floats) -> float:
    """Mean of the windows' correlations, where either thumbnail is textured and both are there."""
    samples = np.empty((_N * _N, 4))
    _sample(original, place, samples)
    # Sums over the rectangle from the corner, of: 1 inside, q, s, qq, ss, qs.
    sums = np.zeros((_N + 1, _N + 1, 6))
    terms = np.empty(6)
    for y in range(_N):
        for x in range(_N):
            q, s = query[y, x], samples[y * _N + x, 0]
            terms[0], terms[1], terms[2] = samples[y * _N + x, 3], q, s
            terms[3], terms[4], terms[5] = q * q, s * s, q * s
            for i in range(6):
                before = sums[y, x + 1, i] + sums[y + 1, x, i] - sums[y, x, i]
                sums[y + 1, x + 1, i] = before + terms[i]
    half, flat = _WINDOW // 2, _FLAT_STD**2
    total, count = 0.0, 0
    for y in range(_N):
        for x in range(_N):
            top, bottom = max(y - half, 0), min(y + half + 1, _N)
            left, right = max(x - half, 0), min(x + half + 1, _N)
            area = (bottom - top) * (right - left)
            for i in range(6):
                terms[i] = (
                    sums[bottom, right, i] - sums[top, right, i]
                    - sums[bottom, left, i] + sums[top, left, i]
                ) / area  # fmt: skip
            qq, ss = terms[3] - terms[1] ** 2, terms[4] - terms[2] ** 2
            if terms[0] < 1.0 - 1e-9 or max(qq, ss) < flat:
                continue
            covariance = terms[5] - terms[1] * terms[2]
            total += covariance / np.sqrt((max(qq, 0.0) + flat) * (max(ss, 0.0) + flat))
            count += 1
    return total / count if count >= _MIN_WINDOWS else 0.0
