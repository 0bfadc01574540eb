"""Coordinate descent over the codes, the slow reference of performance/losses.py, is never better than the exact step."""

import importlib.util

import pytest
import torch

from bcdh_lib.study import find_root
from bcdh_lib.training.losses.code_step import code_step
from bcdh_lib.training.losses.distance_losses import DISTANCE_LOSSES

SPEC = importlib.util.spec_from_file_location("performance_losses", find_root() / "performance/losses.py")
performance = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(performance)


@pytest.mark.parametrize("name", DISTANCE_LOSSES)
@pytest.mark.parametrize("descend", [performance.descend, performance.descend_plainly])
def test_descent_is_never_better_than_the_exact_step(name, descend):
    torch.manual_seed(0)
    u, v = torch.randn(2, 200, 16)
    rest = (torch.arange(200) % 2 == 0, lambda d, s: DISTANCE_LOSSES[name](d, s, 9.1, 16), 0.44)
    signs, exact, found = (
        performance.energies(u, v, *codes, *rest)
        for codes in ((u.sign(), v.sign()), code_step(u, v, *rest), descend(u, v, *rest))
    )
    assert (found >= exact - 1e-4).all()
    assert (found <= signs + 1e-4).all()
    assert (found < signs - 1e-2).any()
    assert (found > exact + 1e-2).any()


def test_both_descents_take_the_same_flips():
    torch.manual_seed(1)
    u, v = torch.randn(2, 100, 8)
    rest = (torch.arange(100) % 2 == 0, lambda d, s: DISTANCE_LOSSES["hinge"](d, s, 4.6, 8), 0.44)
    for one, other in zip(performance.descend(u, v, *rest), performance.descend_plainly(u, v, *rest), strict=True):
        assert torch.equal(one, other)
