"""Photos as the network sees them: upright squares, plain or augmented, decoded once for all views of a photo."""

import functools
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.imports import import_torchvision

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Views(Dataset[Tensor]):
    """uint8 [1 + augmented, 3, side, side] for each photo: the whole photo (or its box) first, then augmented views of it.

    An augmented view is a function of the seed and of the photo's place in `paths`, not of what was loaded before it.
    """

    paths: Sequence[Path]
    side: int
    boxes: Sequence[Box | None] | None = None
    augmented: int = 0
    seed: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        photo = self.photo(index)
        plain = _square(photo, self.side)
        if not self.augmented:
            return plain[None]
        augment = _augmentation(self.side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((self.seed, index)) % 2**63)
            return torch.stack([plain, *(augment(photo) for _ in range(self.augmented))])

    def photo(self, index: int) -> Tensor:
        """The photo, cut to its box, uint8 [3, height, width]."""
        path, box = self.paths[index], self.boxes[index] if self.boxes else None
        try:
            with Image.open(path) as image:
                rgb = image.convert("RGB")
        except OSError as error:
            raise StudyError(f"{path}: cannot be read as a photo ({error})") from None
        if box is not None:
            left, top, right, bottom = box
            if left >= rgb.width or top >= rgb.height or right <= 0 or bottom <= 0:
                raise StudyError(f"{path}: the query's box {box} lies outside the photo of {rgb.width} x {rgb.height} px")
            cut = (max(0, round(left)), max(0, round(top)), min(rgb.width, round(right)), min(rgb.height, round(bottom)))
            rgb = rgb.crop((cut[0], cut[1], max(cut[2], cut[0] + 1), max(cut[3], cut[1] + 1)))
        return _tensor(rgb)

    def batches(self, size: int, workers: int, title: str) -> Iterable[Tensor]:
        """Batches [size * (1 + augmented), 3, side, side] in the photos' order, from `workers` processes (1: this one)."""
        loader = DataLoader(self, batch_size=size, num_workers=workers if workers > 1 else 0, collate_fn=torch.cat)
        return tqdm(loader, desc=title, unit="batch")


def plain_view(rgb: Image.Image, side: int) -> Tensor:
    """A photo as Views shows it without augmentation, uint8 [1, 3, side, side]."""
    return _square(_tensor(rgb), side)[None]


@functools.cache
def _transforms() -> Any:
    """torchvision's transforms, imported with the first photo: it takes seconds, and most processes show a network none."""
    return importlib.import_module(f"{import_torchvision().__name__}.transforms.v2")


def _tensor(rgb: Image.Image) -> Tensor:
    return _transforms().functional.pil_to_tensor(rgb)


def _square(photo: Tensor, side: int) -> Tensor:
    return _transforms().functional.resize(photo, [side, side], antialias=True)


def _augmentation(side: int) -> torch.nn.Module:
    """Crops and light as they change between photographers; never a mirror: a mirrored landmark is another one."""
    transforms = _transforms()
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(side, scale=(0.3, 1.0), ratio=(0.6, 1.6), antialias=True),
            transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.05),
            transforms.RandomApply([transforms.GaussianBlur(5, (0.5, 1.5))], p=0.2),
        ]
    )
