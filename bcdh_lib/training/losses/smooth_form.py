"""The energy at a temperature: the codes of a pair are latent, and every bit moves by its posterior mean.

    E_tau(u, v; s) = -tau log sum over a, b of exp(-(l_s(d_H(a, b)) + lambda/2 (||u - a||^2 + ||v - b||^2)) / tau)

tau -> 0 is E. With k = lambda / tau the bits of the codes are independent before their distance is charged, a_j = +1 with chance
1 / (1 + e^(-2 k u_j)), and with the distance d of such codes, a count of independent disagreements, it falls in two:

    E_tau = tau sum_j (q(u_j) + q(v_j))  -  tau log E[exp(-l_s(d) / tau)],    q(x) = k/2 (x^2 + 1) - log(2 cosh(k x)).

docs/method.md derives it.
"""

from __future__ import annotations

from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bcdh_lib.training.losses.code_step import DistanceLoss
from bcdh_lib.training.losses.pairwise import log_cosh
from bcdh_lib.training.losses.poisson_binomial import expectation

HALVINGS = 20
"""Steps of the search for the tilt: it need not be exact, only near."""


def soft_quantization(u: Tensor, v: Tensor, weight: float, temperature: float) -> Tensor:
    """tau sum_j (q(u_j) + q(v_j)), [p]: a double well in each output where k > 1; weight is lambda."""
    k = weight / temperature
    both = torch.cat([u, v], dim=1)
    return temperature * (k / 2 * (both.square() + 1) - log_cosh(k * both) - log(2)).sum(1)


def smooth_distance(
    u: Tensor, v: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float, temperature: float
) -> Tensor:
    """-tau log E[exp(-l_s(d) / tau)], [p], with its gradient lambda (tanh(k u) - E[a])."""
    return _KnownGradient.apply(u, v, *_smooth(u.detach(), v.detach(), similar, distance_loss, weight, temperature))


def expected_distance(
    u: Tensor, v: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float, temperature: float
) -> Tensor:
    """E[l_s(d)], [p]: the loss expected of codes drawn by their outputs, before the distance has a say in them."""
    return _KnownGradient.apply(u, v, *_expected(u.detach(), v.detach(), similar, distance_loss, weight, temperature))


class _KnownGradient(torch.autograd.Function):
    """Values of pairs, [p], whose gradients in u and v, [p, L], came with them: nothing of the recursions is kept for later."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, value: Tensor, of_u: Tensor, of_v: Tensor) -> Tensor:
        ctx.save_for_backward(of_u, of_v)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        of_u, of_v = ctx.saved_tensors
        return gradient[:, None] * of_u, gradient[:, None] * of_v, None, None, None


def _smooth(
    u: Tensor, v: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The value of `smooth_distance` and its gradients.

    exp(-l/tau) can favour distances whose chance is below the least float. So the chances are tilted: bit j disagrees with odds
    e^t times its own, the distance is charged e^(-t d) for it, and the product is the same for every t. With the t at which the
    tilted codes' mean distance is the most charged one, all that counts stands within reach of a float.
    """
    k, distances = weight / temperature, _distances(u)
    agree, disagree = _log_chances(k * u, k * v)
    charge = distance_loss(distances, similar[:, None]) / temperature
    tilt = _tilt(disagree - agree, charge)[:, None]
    chance = torch.sigmoid(disagree - agree + tilt)
    exponent = -charge - tilt * distances
    top = exponent.amax(1, keepdim=True)
    expected, derivative = expectation(chance, (exponent - top).exp())
    value = -temperature * (torch.logaddexp(agree, disagree + tilt).sum(1) + top.squeeze(1) + expected.log())
    differ = chance * (1 + (1 - chance) * derivative / expected[:, None])  # the posterior chance that bit j disagrees
    alike, apart = (k * (u + v)).tanh(), (k * (u - v)).tanh()  # E[a_j] where bit j agrees, and where it does not
    of_u = weight * ((k * u).tanh() - alike.lerp(apart, differ))
    of_v = weight * ((k * v).tanh() - alike.lerp(-apart, differ))
    return value, of_u, of_v


def _expected(
    u: Tensor, v: Tensor, similar: Tensor, distance_loss: DistanceLoss, weight: float, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The value of `expected_distance` and its gradients: bit j disagrees with chance (1 - tanh(k u_j) tanh(k v_j)) / 2."""
    k = weight / temperature
    a, b = (k * u).tanh(), (k * v).tanh()
    value, derivative = expectation((1 - a * b) / 2, distance_loss(_distances(u), similar[:, None]))
    return value, -k / 2 * derivative * (1 - a.square()) * b, -k / 2 * derivative * (1 - b.square()) * a


def _distances(u: Tensor) -> Tensor:
    """All distances there are, 0 to L bits, [1, L + 1]."""
    return torch.arange(u.shape[1] + 1, dtype=u.dtype, device=u.device)[None]


def _log_chances(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the chances that bits of outputs x = k u and y = k v agree, and that they do not; exact however small.

    They are cosh(x + y) / (2 cosh x cosh y) and cosh(x - y) / (2 cosh x cosh y); what is large in the logarithms is taken off
    by hand: |x + y| - |x| - |y| is 0 where the signs agree, else -2 min(|x|, |y|).
    """
    rest = F.softplus(-2 * x.abs()) + F.softplus(-2 * y.abs())
    flip = -2 * torch.minimum(x.abs(), y.abs())
    same = (x >= 0) == (y >= 0)
    agree = flip.masked_fill(same, 0) + F.softplus(-2 * (x + y).abs()) - rest
    disagree = flip.masked_fill(~same, 0) + F.softplus(-2 * (x - y).abs()) - rest
    return agree, disagree


def _tilt(log_odds: Tensor, charge: Tensor) -> Tensor:
    """The tilt t, [p], with t = -charge'(mean distance at e^t times the odds), by halving; of convex charges there is one.

    log_odds [p, L] of each bit's disagreement; charge [p, L + 1] of each distance.
    """
    slopes = charge.diff(dim=1)
    low, high = -slopes.amax(1), -slopes.amin(1)
    for _ in range(HALVINGS):
        tilt = (low + high) / 2
        mean = torch.sigmoid(log_odds + tilt[:, None]).sum(1)
        slope = slopes.gather(1, mean.long().clamp(0, slopes.shape[1] - 1)[:, None]).squeeze(1)
        too_high = tilt > -slope
        low, high = low.where(too_high, tilt), tilt.where(too_high, high)
    return (low + high) / 2
