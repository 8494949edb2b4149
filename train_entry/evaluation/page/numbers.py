"""Figures as texts: shares in per cent, differences in points, intervals beside them."""

from enum import Enum

from schemas.benchmarks.vocabulary import Metric
from schemas.figures import Figure

# No shares: a distance, and numbers that are told as such wherever they are reported.
_PLAIN = {Metric.RMSE, Metric.QUADRATIC_KAPPA, Metric.ROC_AUC}
_PLAIN_PARTS = ("rmse", "kappa", "auc", "median_km")
_LOWER = {Metric.MEAN_CORRUPTION_ERROR, Metric.RMSE}
_LOWER_PARTS = ("error", "rmse", "disparity", "drop", "median_km")
# Of a share of labels, more may be right or wrong: it depends on the label.
_NEITHER_PARTS = ("label_rate", "difference")
NO_INTERVAL = "no interval"


class Better(Enum):
    """Which way a metric should go."""

    HIGHER = "higher is better"
    LOWER = "lower is better"
    NEITHER = "neither way is better as such"


def better(metric: str) -> Better:
    """Which way a metric should go, by its name."""
    if any(part in metric for part in _NEITHER_PARTS):
        return Better.NEITHER
    lower = metric in _LOWER or any(part in metric for part in _LOWER_PARTS)
    return Better.LOWER if lower else Better.HIGHER


def is_share(metric: str) -> bool:
    """Whether values of a metric are told in per cent."""
    return metric not in _PLAIN and not any(part in metric for part in _PLAIN_PARTS)


def explain_metric(metric: str) -> str:
    """What a metric of the vocabulary is; empty for others."""
    return Metric(metric).explanation if metric in set(Metric) else ""


def value_text(metric: str, value: float) -> str:
    """A value: `54.3%` or `0.734`."""
    # A zero has no sign.
    return f"{round(100 * value, 1) + 0.0:.1f}%" if is_share(metric) else f"{value + 0.0:.4g}"


def interval_text(metric: str, low: float | None, high: float | None) -> str:
    """An interval, or that there is none."""
    if low is None or high is None:
        return NO_INTERVAL
    return f"{value_text(metric, low)} to {value_text(metric, high)}"


def half_interval(figure: Figure) -> float | None:
    """Half the width of a figure's interval; None if it has none."""
    if figure.low is None or figure.high is None:
        return None
    return (figure.high - figure.low) / 2


def figure_text(figure: Figure) -> str:
    """A value with its interval, in one line."""
    interval = interval_text(figure.metric, figure.low, figure.high)
    return f"{value_text(figure.metric, figure.value)} ({interval})"


def difference_text(metric: str, difference: float) -> str:
    """A difference with its sign: points of per cent, or the metric's own unit."""
    if is_share(metric):
        return f"{round(100 * difference, 1) + 0.0:+.1f}"
    return f"{round(difference, 4) + 0.0:+.3g}"


def count_text(number: int, noun: str) -> str:
    """`1 figure`, `2 figures`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def parameters_text(number: int) -> str:
    """A number of parameters, short: `9.32 B`, `637 M`."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
