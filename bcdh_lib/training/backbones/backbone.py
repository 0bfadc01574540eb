"""What a backbone offers, and how torchvision's come about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from bcdh_lib.core.errors import StudyError


@dataclass(frozen=True)
class Backbone:
    """A convolutional network as blocks in order; the last gives `channels` maps. mean, std: of RGB in 0..1 in pretraining."""

    blocks: Sequence[nn.Module]
    channels: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's, as the next
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def torchvision_model(name: str, pretrained: bool) -> Any:
    """A model of torchvision. Raises StudyError if its weights cannot be downloaded."""
    from bcdh_lib.core.imports import import_torchvision

    try:
        return import_torchvision().models.get_model(name, weights="IMAGENET1K_V1" if pretrained else None)
    except OSError as error:
        raise StudyError(
            f"network.backbone: {name}: its weights could not be downloaded ({error}); go online once, or set efficientnet_lite0"
        ) from None


def resnet(name: str, pretrained: bool) -> Backbone:
    """A residual network of torchvision; its stem and every residual block are one block each."""
    net = torchvision_model(name, pretrained)
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    return Backbone([stem, *net.layer1, *net.layer2, *net.layer3, *net.layer4], 2048)
