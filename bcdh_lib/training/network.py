"""Pixels in, L real outputs out: pretrained backbone, generalised-mean pooling, whitening, hash layer."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import Network
from bcdh_lib.training.backbones import BACKBONES, check_backbone


class HashLayer(nn.Module):
    """A linear map without bias, and batch normalisation, which would take it out again; the code is the sign of the outputs."""

    def __init__(self, channels: int, bits: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, bits, bias=False)
        self.norm = nn.BatchNorm1d(bits, affine=False)

    @classmethod
    def of(cls, weight: Tensor, mean: Tensor, variance: Tensor) -> Self:
        """The layer of a linear map [L, d], ready to encode; mean and variance [L] are those of its outputs."""
        layer = cls(weight.shape[1], weight.shape[0])
        layer.linear.load_state_dict({"weight": weight})
        layer.normalise_by(mean, variance)
        return layer.eval()

    def normalise_by(self, mean: Tensor, variance: Tensor) -> None:
        """Set the statistics [L] of the linear map's outputs that the normalisation uses."""
        self.norm.load_state_dict(self.norm.state_dict() | {"running_mean": mean, "running_var": variance})

    def forward(self, vectors: Tensor) -> Tensor:
        """Outputs float [n, L] of the float baseline's vectors [n, d]."""
        return self.norm(self.linear(vectors))


class HashNetwork(nn.Module):
    """backbone -> GeM pooling -> unit vector -> whitening -> unit vector -> hash layer.

    Up to the last unit vector it is the float baseline, whose outputs these vectors are (`bits` None: there is no hash layer).
    The whitening is the identity until it is learned from the similar pairs; the float baseline is trained without it. The
    batch normalisations inside the backbone keep their pretrained statistics, in training too.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: Network, bits: int | None, pretrained: bool = True) -> None:
        super().__init__()
        self.settings, self.bits = settings, bits
        check_backbone(settings.backbone)
        backbone = BACKBONES[settings.backbone](pretrained)
        if settings.frozen_blocks > len(backbone.blocks):
            raise StudyError(f"network.frozen_blocks: {settings.backbone} has {len(backbone.blocks)} blocks")
        self.early = nn.Sequential(*backbone.blocks[: settings.frozen_blocks]).requires_grad_(False)
        self.late = nn.Sequential(*backbone.blocks[settings.frozen_blocks :])
        channels = backbone.channels
        self.whitening = nn.Linear(channels, channels).requires_grad_(False) if settings.whitening is not None else None
        if self.whitening is not None:
            self.whitening.load_state_dict({"weight": torch.eye(channels), "bias": torch.zeros(channels)})
        self.hash_layer = HashLayer(channels, bits) if bits else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third off the time of a training step on a CPU
        self.register_buffer("mean", torch.tensor(backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(3, 1, 1), persistent=False)

    @property
    def trains_whole(self) -> bool:
        """Whether no block is frozen."""
        return len(self.early) == 0

    def train(self, mode: bool = True) -> Self:
        """Only the normalisation of the hash layer learns statistics."""
        super().train(mode)
        self.early.eval()
        self.late.eval()
        return self

    def activations(self, views: Tensor) -> Tensor:
        """The frozen blocks' activations of views uint8 [n, 3, side, side]; they are the same in every run."""
        return self.early((views.to(self.mean.device).float() / 255 - self.mean) / self.std)

    def pool(self, activations: Tensor) -> Tensor:
        """Unit vectors [n, d] before the whitening, from the frozen blocks' activations."""
        power = self.settings.gem_power
        pooled = self.late(activations).clamp(min=1e-6).pow(power).mean((2, 3)).pow(1 / power)
        return F.normalize(pooled, dim=1)

    def whiten(self, pooled: Tensor) -> Tensor:
        """Unit vectors [n, d] that the hash layer takes, of vectors that `pool` gave."""
        return pooled if self.whitening is None else F.normalize(self.whitening(pooled), dim=1)

    def finish(self, pooled: Tensor) -> Tensor:
        """Outputs [n, L] of vectors that `pool` gave, or [n, d] of the float baseline."""
        vectors = self.whiten(pooled)
        return vectors if self.hash_layer is None else self.hash_layer(vectors)

    def forward(self, views: Tensor) -> Tensor:
        """Outputs float [n, L], unit vectors [n, d] of the float baseline, of views uint8 [n, 3, side, side]."""
        return self.finish(self.pool(self.activations(views)))
