"""Typical lengths of class names (ImageNet's), for figures that depend on nothing else of the names."""

CONTEXT_LENGTH = 4
"""M, the context slots: "a photo of a"."""

SUFFIX_LENGTHS = {3: 43, 4: 27, 5: 16, 6: 8, 7: 3, 8: 1, 10: 1, 13: 1}
"""Tokens of a class's suffix (name, ".", EOT) -> how many classes of a hundred: ImageNet's names, 4.17 on average."""

_STRIDE = 37  # prime to 100: any run of classes has about the average length


def suffix_lengths(classes: int) -> list[int]:
    """S_k of K classes, [K]: the table above, repeated every hundred classes."""
    hundred = [length for length, count in SUFFIX_LENGTHS.items() for _ in range(count)]
    return [hundred[k * _STRIDE % len(hundred)] for k in range(classes)]
