"""The papers' two summaries: harmonic mean of base and new, mean and spread over seeds."""

import math
import statistics
from collections.abc import Sequence

from cocoop.errors import InputError


def harmonic_mean(base: float, new: float) -> float:
    """Return H = 2 base new / (base + new), in the unit of the two; 0 where both are 0.

    Source: Zhou et al., "Conditional Prompt Learning for Vision-Language Models", CVPR 2022, table 1 (after
    Xian et al. 2017). The paper's H is that of the accuracies averaged over seeds. `InputError` where an
    accuracy is negative or not finite.
    """
    if not (0 <= base < math.inf and 0 <= new < math.inf):
        raise InputError(f"harmonic_mean: expected two accuracies of 0 or more; got base {base}, new {new}.")
    return statistics.harmonic_mean([base, new])


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and *population* standard deviation of `values` (one per seed); 0.0 spread for one value.

    Division by n, not n - 1, as the original's report does with `np.std` (CoOp:parse_test_res.py @ ff61507c).
    `InputError` where there is no value or one is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise InputError(f"mean_std: expected one or more finite values; got {list(values)}.")
    return statistics.fmean(values), statistics.pstdev(values)
