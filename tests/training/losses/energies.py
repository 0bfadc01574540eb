"""The energy of every pair of codes, one by one: what the fast forms are held against."""

from itertools import product

import torch


def all_codes(bits, dtype=torch.float64):
    return torch.tensor(list(product([-1.0, 1.0], repeat=bits)), dtype=dtype)


def energy(u, v, a, b, similar, distance_loss, weight):
    distance = (a != b).sum(-1, keepdim=True).to(u.dtype)
    quantization = (u - a).square().sum(-1) + (v - b).square().sum(-1)
    return distance_loss(distance, similar[:, None]).squeeze(-1) + weight / 2 * quantization


def every_energy(u, v, similar, distance_loss, weight):
    """Energies of all pairs of codes, [p, 4^L]."""
    codes = all_codes(u.shape[1], u.dtype)
    values = [energy(u, v, a.expand_as(u), b.expand_as(v), similar, distance_loss, weight) for a, b in product(codes, codes)]
    return torch.stack(values, 1)
