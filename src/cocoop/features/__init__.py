"""Images to pixels to features, in large batches ahead of everything that uses them, and kept on disk if asked."""

from cocoop.features.pixels import Look, Picture, View, contents
from cocoop.features.sources import AugmentedFeatures, Features, FeatureSource, FixedFeatures, encode_pictures
from cocoop.features.store import FeatureStore, StoredFeatures

__all__ = [
    "AugmentedFeatures",
    "FeatureSource",
    "FeatureStore",
    "Features",
    "FixedFeatures",
    "Look",
    "Picture",
    "StoredFeatures",
    "View",
    "contents",
    "encode_pictures",
]
