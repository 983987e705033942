"""Drawn pictures of 32 x 32 pixels: pictographs and coloured shapes, and what spoils them.

The bundled CLIP learned from drawings of this package (`tools/tiny_clip`), so nothing here may change a training
picture: a test holds their hashes. File map: `glyphs` and `shapes` draw clean masks; `distort` warps, colours and
spoils; `draw` puts the two together; `signs` lists the classes of `pictographs`; `offline_pictures` and `shifts` make
the pictures of the offline data sets, and `offline` writes their files; `digits` are real images.
"""
