"""What a shallow coder takes and gives."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Coder = Callable[[Vectors], NDArray[np.float32]]
"""Vectors [m, d] -> real outputs [m, L], whose signs are the codes."""
