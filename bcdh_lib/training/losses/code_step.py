"""The code step: the codes of a pair that minimise its energy, exactly, for all pairs of a batch."""

import numpy as np
import torch
from torch import Tensor

from bcdh_lib.training.losses.pairwise import sgn


def cheapest_flips(u: Tensor, v: Tensor, similar: Tensor, costs: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Which bits of a pair flip from agreeing to not, or back, to minimise its energy, bool [..., L], and that minimum, [...].

    The minimum is over all codes a, b of l_s(d_H(a, b)) + lambda/2 (||u - a||^2 + ||v - b||^2), without the part
    lambda/2 (||u - sgn u||^2 + ||v - sgn v||^2) that no code changes. u, v float [..., L]; similar bool [...]; costs float
    [2, L + 1] are l_0 and l_1 of every distance; weight is lambda.

    From a = sgn u, b = sgn v, changing whether bit k agrees costs 2 lambda min(|u_k|, |v_k|): the side of the smaller magnitude
    flips. A similar pair gains only by agreeing more, a dissimilar one by agreeing less, and l_s depends on the number of flips
    alone: so the best t flips are the t cheapest, and the best t is found among all. O(L log L) a pair. Of equal minima the one
    of the fewest flips is taken.
    """
    bits, label = u.shape[-1], similar.long()
    differ = sgn(u) != sgn(v)
    price = torch.minimum(u.abs(), v.abs()).mul(2 * weight).masked_fill_(differ != similar[..., None], torch.inf)
    # On a processor numpy sorts short rows several times as fast as torch.
    order = torch.from_numpy(np.argsort(price.numpy(), axis=-1)) if price.device.type == "cpu" else price.argsort(-1)
    spent = torch.nn.functional.pad(price.gather(-1, order).cumsum(-1), (1, 0))  # by 0 to L flips
    flips = torch.arange(bits + 1, device=u.device)
    distance = (differ.sum(-1, keepdim=True) + flips * (1 - 2 * label[..., None])).clamp_(0, bits)
    energies = spent + costs[label[..., None], distance]
    count = energies.argmin(-1, keepdim=True)
    flipped = torch.zeros_like(differ).scatter_(-1, order, (flips[1:] <= count).expand_as(differ))
    return flipped, energies.gather(-1, count).squeeze(-1)


def minimal_energies(outputs: Tensor, similar: Tensor, costs: Tensor, weight: float) -> Tensor:
    """The minima of `cheapest_flips` for all pairs of a batch, [n, n], from outputs [n, L] and similar bool [n, n].

    By the envelope theorem the gradient is that of the energy with the codes held fixed: lambda (u - a*), here without
    lambda (u - sgn u). Only what a flip costs depends on the outputs. A photo with itself has no energy.
    """
    first, second = torch.triu_indices(len(outputs), len(outputs), 1, device=outputs.device)
    u, v = outputs[first], outputs[second]
    with torch.no_grad():
        flipped, minimum = cheapest_flips(u, v, similar[first, second], costs, weight)
    spent = (2 * weight * torch.minimum(u.abs(), v.abs())).where(flipped, 0).sum(-1)
    of_pair = minimum + spent - spent.detach()
    energies = torch.zeros(len(outputs), len(outputs), dtype=outputs.dtype, device=outputs.device)
    return energies.index_put((first, second), of_pair).index_put((second, first), of_pair)
