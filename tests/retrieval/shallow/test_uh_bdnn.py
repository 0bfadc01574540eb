"""UH-BDNN: its objective by hand, its steps by brute force and definition, codes that keep neighbours near, equal vectors."""

import numpy as np
import pytest
import torch

from bcdh_lib.retrieval.shallow import uh_bdnn
from bcdh_lib.retrieval.shallow.uh_bdnn import BinaryAutoencoder, code_step, fit, hidden_widths, objective, weight_step

from .test_shallow import vectors


def problem(m=20, dimensions=6, bits=4, seed=0):
    """A network whose weights are far from any optimum, random inputs [m, D] and codes [m, L]."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand((m, dimensions), generator=generator, dtype=torch.float64)
    codes = torch.randint(0, 2, (m, bits), generator=generator).double() * 2 - 1
    network = BinaryAutoencoder(inputs, codes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network, inputs, codes


def value(network, inputs, codes):
    return objective(network, inputs, codes).item()


def test_objective_by_hand():
    """Two inputs (0), (1) and one bit, +1 and -1. The hidden layers weigh nothing, so both sigmoids are 1/2; the last layer turns
    1/2 into 2 * 1/2 + 1 = 2; the decoder gives 3 b + 1, that is 4 and -2. Then, with m = 2:
    1/4 (4^2 + 3^2), lambda1/2 (2^2 + 3^2), lambda2/4 (1^2 + 3^2), lambda3/2 (8/2 - 1)^2, lambda4/4 * 4^2."""
    inputs, codes = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[1.0], [-1.0]]).double()
    network = BinaryAutoencoder(inputs, codes)
    assert hidden_widths(1, 1) == (1, 1)
    with torch.no_grad():
        for parameter, number in zip(network.parameters(), (0, 0, 0, 0, 2, 1, 3, 1), strict=True):
            parameter.fill_(number)
    expected = 25 / 4 + uh_bdnn.DECAY * 13 / 2 + uh_bdnn.BINARY * 10 / 4 + uh_bdnn.INDEPENDENT * 9 / 2 + uh_bdnn.BALANCED * 16 / 4
    assert value(network, inputs, codes) == pytest.approx(expected, rel=1e-12)


def test_each_bit_of_a_sweep_is_the_better_of_its_two_values(monkeypatch):
    monkeypatch.setattr(uh_bdnn, "SWEEPS", 1)
    for seed in range(3):
        network, inputs, codes = problem(m=5, seed=seed)
        slow = codes.clone()
        for k in range(4):  # by the objective itself, photo by photo
            for photo in range(5):
                options = [slow.clone(), slow.clone()]
                options[0][photo, k], options[1][photo, k] = -1, 1
                slow = min(options, key=lambda option: value(network, inputs, option))
        assert torch.equal(code_step(network, inputs, codes), slow)


def test_the_objective_never_rises():
    network, inputs, codes = problem()
    values = [value(network, inputs, codes)]
    for _ in range(4):
        codes = code_step(network, inputs, codes)
        values.append(value(network, inputs, codes))
        weight_step(network, inputs, codes)
        values.append(value(network, inputs, codes))
    assert (np.diff(values) <= 1e-12).all()
    assert values[-1] < 0.5 * values[0]


def test_equal_vectors_have_one_code_and_few_vectors_have_codes():
    equal = np.full((20, 16), 0.25, np.float32)
    codes = fit(equal, 8, 0)(equal)
    assert (codes == codes[0]).all()
    assert fit(vectors(16), 16, 0)(vectors(3)).shape == (3, 16)
