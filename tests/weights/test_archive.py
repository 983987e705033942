"""Archives written byte by byte: what is accepted, and the invariants of the directory and of each tensor."""

import pytest
import torch
from torch_archives import Entry, Rebuild, Storage, numbers, pickled, write_archive, write_zip

from cocoop.errors import InputError
from cocoop.weights import read_weights


def tensor(offset=0, size=(2, 3), stride=(3, 1), kind=torch.FloatStorage, key="0", numel=6):
    return Rebuild(Storage(kind, key, numel), offset, size, stride)


def read(path, *values, storages=None):
    write_archive(path, pickled({f"w{n}": value for n, value in enumerate(values)}), *(storages or [numbers()]))
    return read_weights(path).tensors


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


def test_views_of_a_storage(path):
    held = torch.arange(6.0)
    got = read(
        path,
        tensor(),
        tensor(1, (2,), (4,)),
        tensor(5, (), ()),
        tensor(6, (0, 4), (4, 1)),
        tensor(0, (2, 2), (1, 1)),
        tensor(3, (1, 3), (2**40, 1)),
    )
    wanted = (
        held.view(2, 3),
        held[1::4],
        held[5],
        held.new_zeros(0, 4),
        held.as_strided((2, 2), (1, 1)),
        held[None, 3:],
    )
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(got.values(), wanted, strict=True))


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"offset": 1}, "a tensor inside the 24 bytes of storage 0; got one that reaches outside"),
        ({"offset": 2**40}, "reaches outside"),
        ({"offset": -1}, "a tensor's storage, offset, size and strides"),
        ({"offset": 2**63}, "a tensor's storage, offset"),
        ({"offset": 0.0}, "a tensor's storage, offset"),
        ({"offset": True}, "a tensor's storage, offset"),
        ({"size": (3, 3)}, "reaches outside"),
        ({"size": (-2, 3)}, "a tensor's storage, offset"),
        ({"size": [2, 3]}, "a tensor's storage, offset"),
        ({"size": (2,)}, "1 axes and 2 strides"),
        ({"size": (1,) * 17, "stride": (1,) * 17}, "at most 16; got 17 axes"),
        ({"stride": (4, 1)}, "reaches outside"),
        ({"stride": (-3, 1)}, "a tensor's storage, offset"),
        ({"size": (2**40,), "stride": (0,)}, "w0, which repeats fewer values"),
        ({"size": (7,), "stride": (0,)}, "w0, which repeats fewer values"),
        ({"offset": 7, "size": (0,), "stride": (1,)}, "reaches outside"),
        ({"numel": 7}, "28 bytes in storage 0; got 24"),
        ({"numel": 5}, "inside the 20 bytes of storage 0"),
        ({"numel": -6}, "a storage's kind, key and size"),
        ({"kind": torch.DoubleStorage}, "48 bytes in storage 0; got 24"),
        ({"kind": "FloatStorage"}, "a storage's kind, key and size"),
        ({"key": "1"}, "the entry data/1, which the pickle refers to"),
        ({"key": "../data/0"}, r"the entry data/\.\./data/0, which"),
        ({"key": 0}, "a storage's kind, key and size"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(path, lie, reason):
    with pytest.raises(InputError, match=reason):
        read(path, tensor(**lie))


def test_many_views_of_one_storage_may_not_add_up_to_more_than_twice_the_file(path):
    held = numbers(10_000)
    whole = tensor(0, (10_000,), (1,), numel=10_000)
    assert len(read(path, whole, whole, storages=[held])) == 2
    with pytest.raises(InputError, match="tensors of at most twice the file's"):
        read(path, *[whole] * 4, storages=[held])


def test_a_storage_that_is_not_aligned_is_copied(path):
    write_zip(path, good(padding=3))
    assert path.read_bytes().index(numbers()) % 4 != 0
    got = read_weights(path).tensors["w"]
    assert torch.equal(got, torch.arange(6.0).view(2, 3)) and got.data_ptr() % 4 == 0


def good(**changes):
    """The entries of a good archive, with attributes of its storage's entry changed."""
    storage = Entry("a/data/0", numbers())
    for name, value in changes.items():
        setattr(storage, name, value)
    return [Entry("a/data.pkl", pickled({"w": tensor()})), storage]


@pytest.mark.parametrize(
    "extra", ["a/version", "a/byteorder", "a/code/__torch__.py", "a/.data/serialization_id", "a/x/"]
)
def test_other_entries_are_not_opened(path, extra):
    # Damaged: opening one would fail. `byteorder` alone is read.
    entry = Entry(extra, b"little") if extra == "a/byteorder" else Entry(extra, b"!", method=99, claimed_size=2**31)
    write_zip(path, [*good(), entry])
    assert torch.equal(read_weights(path).tensors["w"], torch.arange(6.0).view(2, 3))


def test_a_deflated_pickle_is_read(path):
    entries = good()
    entries[0].deflate = True
    write_zip(path, entries)
    assert read_weights(path).tensors["w"].shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/a/x", "plain relative names of entries, of at most 1,000 letters; got /a/x"),
        ("a/../x", r"plain relative names of entries, .* got a/\.\./x"),
        # A pickle may ask for a storage, and so compare its name, any number of times.
        ("a/data/" + "x" * 1_000, r"at most 1,000 letters; got a/data/x+\.\.\."),
        ("../a/x", "plain relative names"),
        ("a/./x", "plain relative names"),
        ("a//x", "plain relative names"),
        ("a\\x", "plain relative names"),
        ("a/x\0y", r"plain relative names of entries, .* got 'a/x\\x00y'"),
        ("a/data/0", "one entry of each name"),
        ("b/x", "all entries in one folder, as torch writes them; got entries in a, b"),
    ],
)
def test_names_of_entries(path, name, reason):
    write_zip(path, [*good(), Entry(name)])
    with pytest.raises(InputError, match=reason):
        read_weights(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flags": 1}, "entries without a password"),
        ({"deflate": True}, "numbers stored as they are"),
        ({"method": 93}, "numbers stored as they are"),
        ({"claimed_size": 48}, "numbers stored as they are"),
        ({"claimed_size": 2**31, "claimed_packed": 2**31}, "bytes of data/0; got a file that ends before"),
        ({"claimed_size": 8, "claimed_packed": 8}, "24 bytes in storage 0; got 8"),
        ({"local_name": "a/data/1"}, "the entry a/data/0 where the directory says"),
        ({"at": 5}, "the entry a/data/0 where the directory says"),
        ({"at": 0}, "the entry a/data/0 where the directory says"),
        ({"at": 2**31}, "inside the file; got its offset"),
    ],
)
def test_a_directory_that_lies(path, changes, reason):
    write_zip(path, good(**changes))
    with pytest.raises(InputError, match=reason):
        read_weights(path)


def test_an_entry_that_does_not_start_as_one(path):
    write_zip(path, good())
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\3\4", 4)] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match="the entry a/data/0 where the directory says"):
        read_weights(path)


def test_entries_may_not_overlap(path):
    second = tensor(key="1")
    storages = [Entry("a/data/0", numbers()), Entry("a/data/1", numbers())]
    write_zip(path, [Entry("a/data.pkl", pickled({"w": tensor(), "v": second})), *storages])
    read_weights(path)
    storages[0].claimed_size = storages[0].claimed_packed = 150  # over the second's bytes, yet inside the file
    write_zip(path, [Entry("a/data.pkl", pickled({"w": tensor(), "v": second})), *storages])
    with pytest.raises(InputError, match="entries one after the other; got two that overlap"):
        read_weights(path)


def test_big_endian_numbers_are_refused(path):
    write_zip(path, [*good(), Entry("a/byteorder", b"big")])
    with pytest.raises(InputError, match="little-endian numbers; got big"):
        read_weights(path)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], "no entries"),
        (["word/document.xml"], r"word/document\.xml"),
        (["data.pkl"], r"data\.pkl"),
        (["model.safetensors"], r"model\.safetensors"),
        (["config.json", "model.pt"], r"config\.json, model\.pt"),
        (["clip/", "clip/model.pt", "__MACOSX/clip/._model.pt"], r"clip/, clip/model\.pt, __MACOSX/clip/\._model\.pt"),
        (["clip/model/data.pkl"], r"clip/model/data\.pkl"),
        ([f"{n}.jpg" for n in range(20_001)], r"0\.jpg, 1\.jpg, 2\.jpg"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_zip_archive_of_something_else_is_not_called_harmful(path, names, shown):
    write_zip(path, [Entry(name, b"x", padding=0) for name in names])
    expected = r"expected an archive of torch\.save or TorchScript, with data\.pkl in a folder; got a zip archive of"
    with pytest.raises(InputError, match=rf"{expected} {shown}\. Give the weights file of the model, unpacked if"):
        read_weights(path)


def test_too_many_entries_and_too_large_a_directory(path):
    write_zip(path, [*good(), *(Entry(f"a/{n}") for n in range(20_000))])
    with pytest.raises(InputError, match="at most 20,000 entries; got 20,002"):
        read_weights(path)
    write_zip(path, [*good(), *(Entry(f"a/{n}/{'x' * 60_000}") for n in range(80))])
    with pytest.raises(InputError, match="a directory of at most 4,194,304 bytes; got 4,8"):
        read_weights(path)


def test_numbers_of_another_kind_in_a_storage_of_bytes(path):
    """dtypes without a storage class: the storage counts bytes, and the tensor names its dtype."""
    expected = torch.tensor([1, 40_000], dtype=torch.uint16)
    torch.save({"w": expected}, path)
    assert read_weights(path).tensors["w"].tolist() == [1, 40_000]


def test_damaged_bytes_of_the_pickle_are_found_by_its_checksum(path):
    write_zip(path, good())
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"_rebuild_tensor_v2")] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"a readable data\.pkl; got BadZipFile: Bad CRC-32"):
        read_weights(path)
