"""VGG16 of torchvision; its ImageNet weights are downloaded once."""

from torch import nn

from bcdh_lib.training.backbones.backbone import Backbone, torchvision_model


def BACKBONE(pretrained: bool) -> Backbone:
    """13 blocks: every convolution with what follows it, without the last pooling."""
    layers = list(torchvision_model("vgg16", pretrained).features.children())[:-1]
    starts = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    blocks = [nn.Sequential(*layers[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return Backbone(blocks, 512)
