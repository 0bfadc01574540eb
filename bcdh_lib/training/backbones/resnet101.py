"""ResNet-101 of torchvision; its ImageNet weights are downloaded once."""

from functools import partial

from bcdh_lib.training.backbones.backbone import resnet

BACKBONE = partial(resnet, "resnet101")
