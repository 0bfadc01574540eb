"""Shallow coders: neighbours keep their bits; ITQ, PCAH, spectral hashing and UH-BDNN against their definitions; few vectors."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from bcdh_lib.core.codes import hamming, pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.shallow import SHALLOW, fit_shallow, uh_bdnn
from bcdh_lib.retrieval.shallow.uh_bdnn import BinaryAutoencoder, code_step, fit, hidden_widths, objective, weight_step
from bcdh_lib.training.itq import itq_projection


def vectors(n=200, d=32):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(10, d))
    return (centres[np.arange(n) % 10] + 0.2 * generator.normal(size=(n, d))).astype(np.float32)


def signs(method, data):
    return unpack(pack(fit_shallow(method, data, 8, 0)(data)))


@pytest.mark.parametrize("method", SHALLOW)
def test_every_coder_keeps_neighbours_near_and_repeats(method):
    outputs = fit_shallow(method, vectors(), 16, 3)(vectors())
    assert outputs.shape == (200, 16)
    assert outputs.dtype == np.float32
    codes = pack(outputs)
    same = np.arange(200)[:, None] % 10 == np.arange(200)[None] % 10
    distances = hamming(codes, codes)
    assert distances[same].mean() < 0.5 * distances[~same].mean()
    assert (fit_shallow(method, vectors(), 16, 3)(vectors()) == outputs).all()


def test_itq_turns_the_principal_components_nearer_to_the_corners_than_pca_leaves_them():
    data = vectors()
    centred = data - data.mean(0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:8]
    projected = centred @ components.T
    codes = signs("itq", data).astype(float)
    u, _, vt = np.linalg.svd(codes.T @ projected)
    turned = projected @ (u @ vt).T
    assert ((codes - turned) ** 2).sum() < ((np.sign(projected) - projected) ** 2).sum()


def test_pcah_is_the_signs_of_the_principal_components():
    data = vectors()
    components = np.linalg.svd(data - data.mean(0), full_matrices=False)[2][:8]
    codes, projected = signs("pcah", data), (data - data.mean(0)) @ components.T
    clear = np.abs(projected) > 1e-4  # rounding decides beside 0
    agreeing = ((codes == np.sign(projected)) | ~clear).mean(0)
    assert np.isin(agreeing.round(6), [0, 1]).sum() >= 8 - (~clear).any(0).sum()  # a component's direction is free


def test_spectral_hashing_by_hand():
    """One long component: all bits are its modes, the sign of cos(k pi t) for k = 1 to 8, t from 0 to 1 along it."""
    place = np.linspace(0, 1, 200)[:, None]
    data = np.hstack([1000 * place, 0.001 * vectors(200, 7)]).astype(np.float32)
    codes = signs("sh", data)
    modes = np.cos(np.pi * place * np.arange(1, 9))
    clear = np.abs(modes) > 1e-3
    direction = 1 if (codes == np.sign(modes))[clear].all() else -1  # of the component, which turns t into 1 - t
    assert ((codes == np.sign(modes * np.where(np.arange(1, 9) % 2, direction, 1))) | ~clear).all()


def test_spectral_hashing_gives_a_short_component_no_second_bit():
    """Spans 4, 1, 1, ...: frequencies 1/4, 2/4, 3/4, 4/4 come before or with the others' first, 1."""
    generator = np.random.default_rng(1)
    data = (generator.uniform(size=(4000, 8)) * ([40] + [1] * 7)).astype(np.float32)
    codes = signs("sh", data)
    for bit in range(8):
        along = [codes[np.argsort(data[:, 0]), bit], codes[np.argsort(data[:, 1]), bit]]
        changes = [(each[1:] != each[:-1]).sum() for each in along]
        assert changes[0] <= 10 < changes[1]  # mode k changes its sign k times along its own component


def test_the_projection_gives_nearly_itqs_codes():
    """Nearly: faiss also scales the centred vectors to unit length, which no linear map can."""
    data = vectors()
    projection = itq_projection(data, 8, 0)
    np.testing.assert_allclose(projection @ projection.T, np.eye(8), atol=1e-5)
    own = unpack(pack((data - data.mean(0)) @ projection.T))
    assert (own == signs("itq", data)).mean() > 0.85
    few = itq_projection(data[:5], 16, 0)
    np.testing.assert_allclose(few @ few.T, np.eye(16), atol=1e-5)


def test_the_projection_is_the_same_rotation_in_every_process():
    """Memory that faiss had freed was once read here, and differed from process to process."""
    code = """if True:
        import sys, numpy as np
        from bcdh_lib.training.itq import itq_projection
        vectors = np.random.default_rng(0).normal(size=(450, 1280)).astype("float32")
        sys.stdout.buffer.write(itq_projection(vectors, 64, 7).tobytes())
    """
    one, other = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2))
    assert one == other


@pytest.mark.parametrize("method", SHALLOW)
def test_too_few_vectors_are_named(method):
    with pytest.raises(StudyError, match="64 bits need as many"):
        fit_shallow(method, vectors(), 64, 0)
    with pytest.raises(StudyError, match="8 bits need as many"):
        fit_shallow(method, vectors()[:3], 8, 0)


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
