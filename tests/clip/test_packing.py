"""Packing against its definition: every token once, and a mask that equals causal attention over each own prompt."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop.clip.text.packing import pack

lengths_of = st.lists(st.integers(1, 12), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(lengths=lengths_of, prefix_length=st.integers(1, 6))
def test_every_suffix_lies_whole_in_one_row(lengths, prefix_length):
    packing = pack(lengths, prefix_length)
    rows, width = packing.source.shape
    slots_of = {}
    end = 0
    for k, length in enumerate(lengths):
        last = int(packing.eot[k])
        slots = list(range(last - length + 1, last + 1))
        assert last // width == (last - length + 1) // width
        assert packing.source.flatten()[slots].tolist() == list(range(end, end + length))
        assert packing.position.flatten()[slots].tolist() == list(range(prefix_length, prefix_length + length))
        slots_of.update(dict.fromkeys(slots, k))
        end += length
    assert len(slots_of) == sum(lengths) <= rows * width


@settings(deadline=None, max_examples=30)
@given(lengths=lengths_of, prefix_length=st.integers(1, 6))
def test_mask_is_prefix_plus_own_suffix_so_far(lengths, prefix_length):
    packing = pack(lengths, prefix_length)
    rows, width = packing.source.shape
    owner = torch.full((rows * width,), -1)
    for k, length in enumerate(lengths):
        owner[int(packing.eot[k]) - length + 1 : int(packing.eot[k]) + 1] = k
    owner = owner.view(rows, width)
    for r in range(rows):
        for query in range(width):
            seen = packing.mask[r, query]
            assert seen[:prefix_length].all()
            if owner[r, query] >= 0:
                expected = [bool(owner[r, key] == owner[r, query]) and key <= query for key in range(width)]
                assert seen[prefix_length:].tolist() == expected


def test_little_padding_at_imagenet_size():
    generator = torch.Generator().manual_seed(0)
    # Suffix lengths as ImageNet's names have them: mean about 4.2 tokens, at most 13.
    lengths = (3 + torch.poisson(torch.full((1000,), 1.2), generator=generator).long()).clamp(max=13).tolist()
    packing = pack(lengths, 5)
    assert packing.source.numel() <= 1.01 * sum(lengths)
