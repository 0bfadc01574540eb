"""A batch drawn as training draws it, for what times a step."""

from __future__ import annotations

import numpy as np
import torch

from bcdh_lib.params import Params
from bcdh_lib.training.batches import Batch


def draw_batch(params: Params) -> Batch:
    """A batch as training draws it: a query, its positive and negatives each of another group, and every pair of them known."""
    settings = params.training
    rows = np.arange(settings.tuples * (2 + settings.negatives))
    group = np.where(rows % (2 + settings.negatives) == 1, rows - 1, rows)
    first, second = np.triu_indices(len(rows), 1)
    similar = torch.from_numpy(group[first] == group[second])
    return Batch(rows, np.zeros_like(rows), torch.from_numpy(np.stack([first, second], 1)), similar)
