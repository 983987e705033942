"""Miniatures of the fifteen data sets in their exact layout, so that readers and protocols run without the originals.

Written from the descriptions of the layouts (CoOp:DATASETS.md and CoOp:datasets/*.py @ ff61507c, and the data sets' own
kits), not from this package's readers: that each reads what the other writes is a test of both.
"""

from cocoop.data.papers.miniature.write import write_miniature

__all__ = ["write_miniature"]
