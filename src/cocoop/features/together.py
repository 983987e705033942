"""Images that several ranks encode: each its part, and all get all of the features."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.features.encode import Encoded, read_pictures
from cocoop.features.pixels import Picture
from cocoop.features.sources import AugmentedFeatures, FixedFeatures
from cocoop.features.store import FeatureStore
from cocoop.ranks import Ranks
from cocoop.rgb import Exif


def read_together(
    ranks: Ranks,
    clip: CLIP,
    pictures: Sequence[Picture],
    store: FeatureStore | None = None,
    leave_out: Collection[bytes] = (),
    fill: bool = False,
    exif: Exif = "apply",
) -> Encoded:
    """`read_pictures` of all pictures, of which each rank reads its part.

    Batches are filled up where there are several ranks, so that features have the same bits however they are shared.
    """
    if ranks.size == 1:
        return read_pictures(clip, pictures, store, leave_out, fill, exif)
    part = ranks.part(len(pictures))

    def mine() -> Encoded:
        own = read_pictures(clip, pictures[part], store, leave_out, fill=True, exif=exif)
        return Encoded(own.contents, [part.start + position for position in own.kept], own.features[:].cpu())

    parts = ranks.gather(mine)
    features = torch.cat([own.features[:] for own in parts]).to(clip.device)
    kept = [position for own in parts for position in own.kept]
    return Encoded(np.concatenate([own.contents for own in parts]), kept, features)


class SharedViews:
    """Random views, of which each rank encodes those of its own images; the `FeatureSource` of all.

    Args:
        ranks: whose.
        own: the views of this rank's part of the images.
    """

    def __init__(self, ranks: Ranks, own: AugmentedFeatures) -> None:
        self._ranks, self._own = ranks, own
        self._epoch: int | None = None
        self._features = torch.empty(0)
        self.contents: NDArray[np.bytes_] = np.concatenate(ranks.gather(lambda: own.contents))

    def __len__(self) -> int:
        """See `FeatureSource`."""
        return len(self.contents)

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """See `FeatureSource`. All ranks must ask for the same epochs."""
        if self._epoch != epoch:
            device = self._own.clip.device
            self._epoch, self._features = epoch, torch.cat(self._ranks.gather(lambda: self._mine(epoch))).to(device)
        yield from FixedFeatures(self._features).batches(epoch, order, batch_size)

    def _mine(self, epoch: int) -> Tensor:
        (features,) = self._own.batches(epoch, range(len(self._own)), len(self._own))
        return features.cpu()
