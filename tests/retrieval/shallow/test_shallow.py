"""Every shallow coder: neighbours keep their bits, ITQ against its definition, too few vectors."""

import subprocess
import sys

import numpy as np
import pytest

from bcdh_lib.core.codes import hamming, pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.shallow import SHALLOW, fit_shallow
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
