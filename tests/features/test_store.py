"""Features on disk: what decides them tells them apart, damage is noticed, and several processes may write at once."""

import errno
import json
import multiprocessing
import os
import resource
import shutil
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL
import pytest
import torch
from golden_clip import load
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import normalize

from cocoop import CLIP, InputError, RunError
from cocoop.clip import Preprocess
from cocoop.clip.image.transforms import OPENAI_MEAN, OPENAI_STD
from cocoop.clip.sources.load import BUNDLED
from cocoop.features import AugmentedFeatures, FeatureStore, View, blocks, encode_pictures
from cocoop.features import encode as features_of_images

NAMES = [f"{number}.png" for number in range(6)]


def write_pictures(folder: Path, seed: int = 0) -> list[Path]:
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(seed)
    for name in NAMES:
        Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    return [folder / name for name in NAMES]


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / "pictures")


@pytest.fixture
def encoded(monkeypatch):
    """How many images were given to the image tower, without what fills batches up."""
    counts: list[int] = []

    def counting(*args, **options):
        for rows, features in encode(*args, **options):
            counts.append(len(features))
            yield rows, features

    encode = features_of_images._encode
    monkeypatch.setattr(features_of_images, "_encode", counting)
    return lambda: (sum(counts), counts.clear())[0]


def contents(pictures: list[Path]) -> np.ndarray:
    """The content hashes of files."""
    return np.array([sha256(path.read_bytes()).digest() for path in pictures], dtype="S32")


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.features"))


def alone(clip, path: Path) -> torch.Tensor:
    return clip.encode_images(clip.preprocess(Image.open(path))[None])[0]


def test_what_is_there_is_read_and_only_the_rest_computed(golden, pictures, tmp_path, encoded):
    first = encode_pictures(golden, pictures[:4], FeatureStore(tmp_path / "f", golden))
    assert encoded() == 4
    again = encode_pictures(golden, pictures[::-1], FeatureStore(tmp_path / "f", golden))
    assert encoded() == 2
    assert torch.equal(again[:].flip(0)[:4], first[:])
    for number, path in enumerate(pictures[::-1]):
        torch.testing.assert_close(again[[number]][0], alone(golden, path), rtol=0, atol=1e-6)
    encode_pictures(golden, [pictures[1], pictures[1], pictures[5]], FeatureStore(tmp_path / "f", golden))
    assert encoded() == 0


def test_a_store_of_other_images_does_not_make_the_work_look_smaller(golden, pictures, tmp_path, monkeypatch):
    """How many views are to be decoded decides whether processes are started for them."""
    store, counts = FeatureStore(tmp_path / "f", golden), []
    others = np.array(sorted(sha256(bytes([number])).digest() for number in range(20)), dtype="S32")
    store.add(others, None, torch.zeros(20, golden.embed_dim))
    monkeypatch.setattr(features_of_images, "processes_for", lambda count, *_: counts.append(count) or 0)
    encode_pictures(golden, pictures, store)
    assert counts == [6]


def test_no_image_is_looked_for_in_a_store_that_has_some(golden, pictures, tmp_path):
    store = FeatureStore(tmp_path / "kept", golden)
    encode_pictures(golden, pictures, store)
    assert encode_pictures(golden, [], store).shape == (0, golden.embed_dim)


def test_an_image_that_occurs_twice_is_encoded_once(golden, pictures, tmp_path, encoded):
    copy = tmp_path / "copy.png"
    copy.write_bytes(pictures[0].read_bytes())
    found = encode_pictures(golden, [pictures[0], copy, pictures[0]], FeatureStore(tmp_path / "f", golden))
    assert encoded() == 1 and torch.equal(found[[0]], found[[1]])


def other_weights(clip):
    other = load()
    with torch.no_grad():
        for parameter in other.image_tower.parameters():
            parameter.mul_(torch.linspace(0.5, 1.5, parameter.numel()).reshape(parameter.shape))
    return other


def other_transform(clip):
    other = load()
    other.preprocess = Preprocess(clip.preprocess.size, mean=(0.5, 0.5, 0.5))
    return other


@pytest.mark.parametrize("change", [other_weights, other_transform])
def test_another_clip_or_transform_takes_nothing(golden, pictures, tmp_path, encoded, change):
    store = tmp_path / "f"
    one = encode_pictures(golden, pictures, FeatureStore(store, golden))
    clip = change(golden)
    other = encode_pictures(clip, pictures, FeatureStore(store, clip))
    assert encoded() == 12
    for number, path in enumerate(pictures):
        torch.testing.assert_close(other[[number]][0], alone(clip, path), rtol=0, atol=1e-6)
    assert not torch.allclose(one[:], other[:], atol=1e-4)


def test_each_way_to_open_and_to_resize_has_a_place_of_its_own(tmp_path):
    """OpenAI's and the original's is where it was before there were others: its key is the SHA-256 of what it always
    said.
    """
    clip, places = Averages(), []
    for mode in ("shortest", "squash"):
        for interpolation in ("bicubic", "bilinear"):
            clip.preprocess = Preprocess(8, resize_mode=mode, interpolation=interpolation)
            for exif in ("original", "apply", "ignore"):
                places.append(FeatureStore(tmp_path, clip).opened(exif)._place(None).parent.name)
    assert len(set(places)) == 12
    key = {"version": 3, "clip": "averages", "precision": "float32", "device": "cpu"}
    key |= {"transform": [8, [*OPENAI_MEAN], [*OPENAI_STD]], "pillow": PIL.__version__}
    assert places[0] == sha256(json.dumps(key).encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "value"), [("hidden_act", "gelu"), ("layer_norm_eps", 0.1), ("num_attention_heads", 2)]
)
def test_another_formula_on_the_same_tensors_takes_nothing(tiny, pictures, tmp_path, encoded, name, value):
    folder = shutil.copytree(BUNDLED["tiny"], tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"][name] = value
    (folder / "config.json").write_text(json.dumps(config))
    changed = CLIP.load(folder, device="cpu")
    one, other = (encode_pictures(clip, pictures, FeatureStore(tmp_path / "f", clip)) for clip in (tiny, changed))
    assert encoded() == 12 and not torch.allclose(one[:], other[:], atol=1e-4)
    torch.testing.assert_close(other[[2]][0], alone(changed, pictures[2]), rtol=0, atol=1e-6)


def test_other_precision_or_device_takes_nothing(golden, pictures, tmp_path, monkeypatch):
    store = FeatureStore(tmp_path, golden)
    encode_pictures(golden, pictures, store)
    known = contents(pictures)
    assert store.find(known, None)[1].all()
    for change in ({"precision": golden.precision._replace(tf32=True)}, {"device": torch.device("cuda")}):
        with monkeypatch.context() as patch:
            for name, value in change.items():
                patch.setattr(golden, name, value)
            assert not store.find(known, None)[1].any()


def test_another_image_under_the_same_name_is_computed(golden, pictures, tmp_path, encoded):
    encode_pictures(golden, pictures, FeatureStore(tmp_path / "f", golden))
    Image.open(pictures[2]).rotate(180).save(pictures[2])
    found = encode_pictures(golden, pictures, FeatureStore(tmp_path / "f", golden))
    assert encoded() == 6 + 1
    torch.testing.assert_close(found[[2]][0], alone(golden, pictures[2]), rtol=0, atol=1e-6)


def test_an_image_that_changes_during_a_run_is_refused(golden, pictures, tmp_path):
    """Else the features of what is there now would be kept as those of what was there."""
    store, known = FeatureStore(tmp_path / "f", golden), contents(pictures)
    source = AugmentedFeatures(golden, pictures, seed=1, epochs=20, store=store)
    assert source.contents.tolist() == known.tolist()  # the views of the first sixteen epochs are there
    Image.open(pictures[2]).rotate(180).save(pictures[2])
    with pytest.raises(RunError, match=r"2\.png: expected the image file that was there .*has changed since"):
        next(source.batches(16, [0], 1))
    assert store.find(known, View(1, 15))[1].all() and not store.find(known, View(1, 16))[1][2]


def test_an_image_whose_checksum_ends_in_zero(golden, pictures, tmp_path, encoded):
    """numpy leaves zeros out at the end of what it takes from an array of bytes."""
    image = pictures[0].read_bytes()
    pictures[0].write_bytes(
        next(longer for number in range(10**4) if sha256(longer := image + b"%d" % number).digest()[31] == 0)
    )
    for expected in (6, 0):
        found = encode_pictures(golden, pictures, FeatureStore(tmp_path / "f", golden))
        assert encoded() == expected
    torch.testing.assert_close(found[[0]][0], alone(golden, pictures[0]), rtol=0, atol=1e-6)


def test_views_do_not_stand_in_for_each_other(golden, pictures, tmp_path):
    store, known = FeatureStore(tmp_path, golden), contents(pictures)
    views = [None, View(1, 0), View(1, 1), View(2, 0), View(-1, 0)]
    for number, view in enumerate(views):
        assert not store.find(known, view)[1].any()
        store.add(known, view, torch.full((6, golden.embed_dim), float(number)))
    for number, view in enumerate(views):
        found, there = store.find(known, view)
        assert there.all() and (found[:] == number).all()


def damages() -> dict[str, object]:
    """Name -> the bytes of a block to what became of them."""
    cuts = {f"cut to {part}": lambda b, part=part: b[: int(len(b) * part)] for part in (0, 0.01, 0.3, 0.9)}
    cuts |= {f"cut by {count}": lambda b, count=count: b[:-count] for count in (1, 4, 100)}
    flips = {
        f"flipped at {part}": lambda b, part=part: flipped(b, int((len(b) - 1) * part)) for part in (0, 0.2, 0.7, 1)
    }
    more = {"longer": lambda b: b + b"\0", "zeros": lambda b: bytes(len(b)), "text": lambda b: b"no block"}
    return cuts | flips | more


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", damages().values(), ids=damages().keys())
def test_a_damaged_block_is_noticed_and_replaced(golden, pictures, tmp_path, encoded, damage):
    store = tmp_path / "f"
    expected = encode_pictures(golden, pictures[:4], FeatureStore(store, golden))[:]
    encode_pictures(golden, pictures, FeatureStore(store, golden))
    encoded()
    path = next(path for path in files(store) if path.read_bytes()[0] == 4)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    found = encode_pictures(golden, pictures, FeatureStore(store, golden))
    assert encoded() == 4  # what the damaged block held, and nothing else
    assert torch.equal(found[range(4)], expected)
    assert path.read_bytes() == whole and len(files(store)) == 2


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_noticed(golden, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("store")
    known = np.array([bytes([number]) * 32 for number in range(3)], dtype="S32")
    FeatureStore(folder, golden).add(known, None, torch.ones(3, golden.embed_dim))
    (path,) = files(folder)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert not FeatureStore(folder, golden).find(known, None)[1].any() and files(folder) == []


def test_a_block_that_was_moved_is_not_believed(golden, pictures, tmp_path, encoded):
    store = FeatureStore(tmp_path / "f", golden)
    encode_pictures(golden, pictures, store)
    known = contents(pictures)
    (path,) = files(tmp_path)
    elsewhere = path.parent.with_name("seed-1-view-0")
    elsewhere.mkdir()
    path.rename(elsewhere / path.name)
    assert not FeatureStore(tmp_path / "f", golden).find(known, View(1, 0))[1].any()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_find_gives_the_row_of_each_content(golden, tmp_path_factory, data):
    """Against a dict: any contents, zeros at their ends too, in any blocks, asked for in any order, some not there."""
    content = st.binary(min_size=32, max_size=32) | st.integers(0, 9).map(lambda n: bytes([n]) + bytes(31))
    parts = data.draw(st.lists(st.lists(content, min_size=1, max_size=5, unique=True), max_size=4))
    asked = data.draw(st.lists(content, min_size=1, max_size=6)) + [one for part in parts for one in part[:2]]
    store = FeatureStore(tmp_path_factory.mktemp("store"), golden)
    held: dict[bytes, float] = {}
    for part in parts:
        for one in part:
            held.setdefault(one, float(len(held)))
        values = torch.tensor([held[one] for one in part])[:, None].expand(-1, golden.embed_dim)
        store.add(np.array(part, dtype="S32"), None, values)
    found, there = store.find(np.array(asked, dtype="S32"), None)
    assert there.tolist() == [one in held for one in asked]
    where = [number for number, one in enumerate(asked) if one in held]
    if where:
        assert found[where][:, 0].tolist() == [held[asked[number]] for number in where]


def test_features_stay_on_disk(golden, tmp_path):
    known = np.array([f"{number:032}" for number in range(5000)], dtype="S32")
    store = FeatureStore(tmp_path, golden)
    values = torch.randn(5000, golden.embed_dim)
    store.add(known, None, values)
    found, _ = FeatureStore(tmp_path, golden).find(known, None)
    assert torch.equal(found[10:20], values[10:20]) and torch.equal(found[[4999, 0]], values[[4999, 0]])
    (path,) = files(tmp_path)
    for change in (lambda: path.write_bytes(path.read_bytes()[:-1]), path.unlink):
        change()
        with pytest.raises(RunError, match="some are gone"):
            found[10:20]


def test_no_block_is_held_open(golden, tmp_path):
    """More blocks than a process may have files open, all in use at once."""
    store, known = FeatureStore(tmp_path, golden), np.array([f"{number:032}" for number in range(60)], dtype="S32")
    for number in range(60):
        store.add(known[number : number + 1], None, torch.full((1, golden.embed_dim), float(number)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(os.devnull, os.O_RDONLY)  # numbers below are taken
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 20, hard))
    try:
        kept = [FeatureStore(tmp_path, golden).find(known, None)[0] for _ in range(2)]
        assert all(found[:][:, 0].tolist() == list(range(60)) for found in kept)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_block_is_read_through_when_it_is_wanted_and_once(golden, tmp_path, monkeypatch):
    store, known = FeatureStore(tmp_path, golden), np.array([b"a" * 32, b"b" * 32], dtype="S32")
    for one in (known[:1], known[1:]):
        store.add(one, None, torch.ones(1, 1000))
    hashed = []
    monkeypatch.setattr(blocks, "sha256", lambda *given: hashed.extend(map(len, given)) or sha256(*given))

    def read_through():
        count = sum(length > 4000 for length in hashed)
        hashed.clear()
        return count

    assert [FeatureStore(tmp_path, golden).find(known[:1], None)[1].all() for _ in range(3)] == [True] * 3
    assert read_through() == 1
    assert FeatureStore(tmp_path, golden).find(known, None)[1].all() and read_through() == 1


def test_too_many_open_files_is_no_reason_to_remove_one(golden, tmp_path, monkeypatch):
    known = np.array([b"a" * 32], dtype="S32")
    FeatureStore(tmp_path, golden).add(known, None, torch.ones(1, golden.embed_dim))

    def full(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(RunError, match=r"Too many open files\. Have fewer files open at once, .*\(ulimit -n\)\.$"):
        FeatureStore(tmp_path, golden).find(known, None)


def test_float64_features_keep_their_bits(pictures, tmp_path):
    clip = load(dtype="float64")
    stored = encode_pictures(clip, pictures * 3, FeatureStore(tmp_path / "f", clip))
    assert torch.equal(stored[:], encode_pictures(clip, pictures * 3)) and stored[:].dtype == torch.float64


class Averages:
    """Stands in for a CLIP, and starts in no time: its features are the rows of a shrunken image."""

    fingerprint, precision, device = "averages", SimpleNamespace(name="float32"), torch.device("cpu")
    preprocess = Preprocess(8)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        return normalize(pixels.mean(dim=(1, 3)))


def _encode_all(folder: Path, pictures: list[Path], barrier) -> None:
    torch.set_num_threads(1)
    barrier.wait()
    for number in range(len(pictures)):  # one by one, so that the two meet often
        encode_pictures(Averages(), pictures[: number + 1], FeatureStore(folder, Averages()))


def test_two_processes_at_once(tmp_path, encoded):
    pictures = write_pictures(tmp_path / "a") + write_pictures(tmp_path / "b", seed=1)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    orders = (pictures[:9], pictures[:2:-1])
    processes = [context.Process(target=_encode_all, args=(tmp_path / "f", order, barrier)) for order in orders]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    clip = Averages()
    found = encode_pictures(clip, pictures, FeatureStore(tmp_path / "f", clip))
    assert encoded() == 0
    assert torch.equal(found[:], encode_pictures(clip, pictures))
    assert not list((tmp_path / "f").rglob("*.tmp"))


def test_a_damaged_block_that_another_process_has_replaced_meanwhile_is_kept(tmp_path, monkeypatch):
    known, features = np.array([b"a" * 32], dtype="S32"), np.ones((1, 4), np.float32)
    blocks.write_block(tmp_path, known, features)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")

    def replaced_while_it_is_read(content):
        (tmp_path / "new").write_bytes(whole)
        os.replace(tmp_path / "new", path)
        monkeypatch.undo()
        return sha256(content)

    monkeypatch.setattr(blocks, "sha256", replaced_while_it_is_read)
    assert blocks.open_block(path) is None
    block = blocks.open_block(path)
    assert block is not None and np.array_equal(block.rows(np.array([0])), features)


def test_folders_that_cannot_be(golden, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: expected a folder for image features"):
        FeatureStore(tmp_path / "file", golden)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match="No space left on device"):
        FeatureStore(tmp_path, golden).add(np.array([b"a" * 32]), None, torch.ones(1, golden.embed_dim))
    assert not list(tmp_path.rglob("*.tmp"))


def test_files_that_vanish_during_a_run_are_told(golden, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(FeatureStore, "add", lambda *_: None)
    with pytest.raises(RunError, match="some are gone"):
        encode_pictures(golden, pictures, FeatureStore(tmp_path / "f", golden))
