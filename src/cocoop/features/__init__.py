"""Images to pixels to features, in large batches ahead of everything that uses them, and kept on disk if asked."""

from cocoop.features.ahead import usable_cpus
from cocoop.features.encode import Encoded, Features, encode_pictures, fingerprints, read_pictures
from cocoop.features.parquet import HEAD, head_of, pyarrow_parquet
from cocoop.features.pixels import Picture, View
from cocoop.features.sources import AugmentedFeatures, FeatureSource, FixedFeatures
from cocoop.features.store import FeatureStore, StoredFeatures, features_key
from cocoop.features.stream import EncodedRow, Encoder, encode_stream, processes_beside
from cocoop.features.together import SharedViews, read_together

__all__ = [
    "HEAD",
    "AugmentedFeatures",
    "Encoded",
    "EncodedRow",
    "Encoder",
    "FeatureSource",
    "FeatureStore",
    "Features",
    "FixedFeatures",
    "Picture",
    "SharedViews",
    "StoredFeatures",
    "View",
    "encode_pictures",
    "encode_stream",
    "features_key",
    "fingerprints",
    "head_of",
    "processes_beside",
    "pyarrow_parquet",
    "read_pictures",
    "read_together",
    "usable_cpus",
]
