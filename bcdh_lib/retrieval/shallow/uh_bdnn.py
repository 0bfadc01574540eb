"""UH-BDNN: codes from an autoencoder whose middle layer is binary, learned from vectors without labels.

Do, Doan and Cheung, "Learning to Hash with Binary Deep Neural Network", ECCV 2016, the unsupervised one. Inputs X [m, D], binary
codes B [m, L] in {-1, +1}, outputs H [m, L] = encoder(X), reconstructions decoder(B), a linear layer:

    J = 1/(2m) ||X - decoder(B)||^2 + lambda1/2 ||weights||^2 + lambda2/(2m) ||H - B||^2
        + lambda3/2 ||H'H/m - I||^2 + lambda4/(2m) ||H'1||^2

that is reconstruction, decay, binary outputs, independent bits, balanced bits. B starts as ITQ's codes. Then the weights (with B
fixed) and B (with the weights fixed, bit by bit, in closed form) take turns. A new vector's code is the sign of its H.

From the authors' demonstration code: the lambdas, the layers (two of sigmoids, one linear), the principal axes that the first two
start from, inputs scaled into 0..1, and the widths up to 32 bits. Different here: the widths beyond 32 bits; far fewer iterations
(the authors: 400 of L-BFGS a turn, at most 20 turns, until mAP on validation photos falls). Least squares make up for these: they
give the decoder exactly at every turn (the authors: L-BFGS) and the start of the last encoding layer (the authors: principal
axes). The B step starts from the previous B, so J never rises.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bcdh_lib.core.codes import pack, unpack
from bcdh_lib.retrieval.shallow.coder import Coder, Vectors
from bcdh_lib.training.itq import train_itq

DECAY, BINARY, INDEPENDENT, BALANCED = 1e-5, 5e-2, 1e-2, 0.5e-6  # lambda1 to lambda4
DIMENSIONS = 800  # of the inputs, at most, as in the paper
FIRST_WIDTHS = {8: 90, 16: 90, 24: 100, 32: 120}
TURNS, ITERATIONS, SWEEPS = 5, 20, 10


class BinaryAutoencoder(nn.Module):
    """Inputs [m, D] -> outputs [m, L] by `encoder`, codes [m, L] -> inputs by `decoder`; float64."""

    def __init__(self, inputs: Tensor, codes: Tensor) -> None:
        super().__init__()
        dimensions, bits = inputs.shape[1], codes.shape[1]
        first, second = hidden_widths(dimensions, bits)
        hidden = [nn.Linear(dimensions, first).double(), nn.Linear(first, second).double()]
        features = inputs
        for layer in hidden:
            moments = features.T @ features / len(features)  # not centred, as in the authors' code
            axes = torch.linalg.eigh(moments).eigenvectors.T.flip(0)  # rows, the largest first
            _assign(layer, axes[: layer.out_features], torch.zeros(layer.out_features))
            features = torch.sigmoid(layer(features)).detach()
        last = nn.Linear(second, bits).double()
        _assign(last, *least_squares(features, codes, DECAY / BINARY))
        self.encoder = nn.Sequential(hidden[0], nn.Sigmoid(), hidden[1], nn.Sigmoid(), last)
        self.decoder = nn.Linear(bits, dimensions).double()
        _assign(self.decoder, *least_squares(codes, inputs, DECAY))


def hidden_widths(dimensions: int, bits: int) -> tuple[int, int]:
    """Widths of the two hidden layers: the authors' up to 32 bits; beyond, their rule for the second, 88 + L for the first.

    A layer starts from principal axes of the previous one, so it is no wider.
    """
    first = min(FIRST_WIDTHS.get(bits, 88 + bits), dimensions)
    return first, min(10 + 5 * bits // 4, first)


def least_squares(features: Tensor, targets: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Weight [t, f] and bias [t] that minimise 1/m ||features weight' + bias - targets||^2 + decay ||weight||^2."""
    centred = features - features.mean(0)
    moments = centred.T @ centred / len(features) + decay * torch.eye(features.shape[1], dtype=features.dtype)
    weight = torch.linalg.solve(moments, centred.T @ (targets - targets.mean(0)) / len(features)).T
    return weight, targets.mean(0) - weight @ features.mean(0)


def objective(network: BinaryAutoencoder, inputs: Tensor, codes: Tensor) -> Tensor:
    """J of the module's docstring, a scalar, for inputs [m, D] and codes [m, L] of -1 and +1."""
    m, outputs = len(inputs), network.encoder(inputs)
    weights = [layer.weight for layer in (*network.encoder, network.decoder) if isinstance(layer, nn.Linear)]
    identity = torch.eye(codes.shape[1], dtype=inputs.dtype)
    return (
        (inputs - network.decoder(codes)).square().sum() / (2 * m)
        + DECAY / 2 * sum(weight.square().sum() for weight in weights)
        + BINARY / (2 * m) * (outputs - codes).square().sum()
        + INDEPENDENT / 2 * (outputs.T @ outputs / m - identity).square().sum()
        + BALANCED / (2 * m) * outputs.sum(0).square().sum()
    )


@torch.no_grad()
def code_step(network: BinaryAutoencoder, inputs: Tensor, codes: Tensor) -> Tensor:
    """Codes [m, L] that no change of one bit improves (at most SWEEPS sweeps), from the given codes; J never rises.

    With the others fixed, bit k's part of 2m J is -2 b_k (w_k'(x - c - sum over j != k of w_j b_j) + lambda2 h_k).
    """
    codes, decoder = codes.clone(), network.decoder
    wanted = (inputs - decoder.bias) @ decoder.weight + BINARY * network.encoder(inputs)
    products = decoder.weight.T @ decoder.weight
    for _ in range(SWEEPS):
        before = codes.clone()
        for k in range(codes.shape[1]):
            others = codes @ products[:, k] - codes[:, k] * products[k, k]
            codes[:, k] = torch.where(wanted[:, k] >= others, 1.0, -1.0)
        if torch.equal(codes, before):
            break
    return codes


def weight_step(network: BinaryAutoencoder, inputs: Tensor, codes: Tensor) -> None:
    """Lower J in the weights, in place, the codes fixed: the decoder's by least squares, the encoder's by L-BFGS."""
    _assign(network.decoder, *least_squares(codes, inputs, DECAY))
    optimizer = torch.optim.LBFGS(network.encoder.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective(network, inputs, codes)
        loss.backward()
        return loss

    optimizer.step(closure)


def fit(vectors: Vectors, bits: int, seed: int) -> Coder:
    """UH-BDNN (see the module's docstring). The seed is ITQ's, which gives the first codes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order on any number of cores; more would not speed up matrices this small
    try:
        reduce = _reduction(torch.from_numpy(vectors).double(), bits)
        inputs = reduce(torch.from_numpy(vectors).double())
        itq = train_itq(vectors, bits, seed)
        codes = torch.from_numpy(unpack(pack(itq.apply(vectors)))).double()
        network = BinaryAutoencoder(inputs, codes)
        weight_step(network, inputs, codes)
        for _ in range(TURNS):
            codes = code_step(network, inputs, codes)
            weight_step(network, inputs, codes)
    finally:
        torch.set_num_threads(threads)

    def code(fresh: Vectors) -> Vectors:
        with torch.no_grad():
            return network.encoder(reduce(torch.from_numpy(fresh).double())).float().numpy()

    return code


def _reduction(vectors: Tensor, bits: int) -> Callable[[Tensor], Tensor]:
    """Vectors [m, d] -> inputs [m, D]: principal components with one common scale; the given vectors are within 0..1.

    n centred vectors span n - 1 dimensions; there are no more components, unless the bits need them.
    """
    mean = vectors.mean(0)
    kept = min(DIMENSIONS, vectors.shape[1], max(len(vectors) - 1, bits))
    axes = torch.linalg.svd(vectors - mean, full_matrices=False).Vh[:kept].T
    components = (vectors - mean) @ axes
    least, greatest = components.min(0).values, components.max(0).values
    span = (greatest - least).max().clamp(min=torch.finfo(torch.float64).eps)
    return lambda fresh: ((fresh - mean) @ axes - least) / span


@torch.no_grad()
def _assign(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
