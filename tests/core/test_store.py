"""The checkpoint store: names, finding, removing, locking, differences, and tensors in files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from gencli.core import store
from gencli.core.errors import GencliError, UsageError
from gencli.core.store import Model
from gencli.core.tensors import check_tensors, pack, read_tensors, unpack, write_tensors


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENCLI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def make(art: str, name: str, *, when: float = 0, weights: bool = True, **config: Any) -> Model:
    """A model in the store, written at `when` seconds."""
    folder = store.folder(art, name)
    folder.mkdir(parents=True)
    (folder / store.CONFIG).write_text(json.dumps({"art": art, "kind": "k", "options": {}, "finished": True} | config))
    if weights:
        store.save_weights(folder, {"w": torch.arange(3.0)}, {"art": art})
        os.utime(folder / store.WEIGHTS, (when, when))
    return Model(folder)


def ship(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model that ships, in a package folder of its own."""
    made = make("textgen", "prose")
    (folder / "textgen").mkdir(parents=True)
    shutil.move(made.folder, folder / "textgen" / "prose")
    monkeypatch.setattr(store, "built_in_folder", lambda: folder)
    return Model(folder / "textgen" / "prose")


# Names


@pytest.mark.parametrize("name", ["a", "face-64_v1.2", "_x", "7", "A" * 80, "console", "com", "latest-1"])
def test_good_names(name: str) -> None:
    assert store.check_name(name) == name
    assert store.folder("gan", name).parent.name == "gan"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            ".hidden",
            "-flag",
            "@x",
            "a/b",
            "a\\b",
            "../x",
            "a b",
            "ä",
            "٣",
            "a\n",
            "a\0",
            "A" * 81,
        ),
        *("con", "NUL", "nul.txt", "Com1", "lpt9.x", "latest", "LATEST", "dot."),
    ],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name") as refused:
        store.check_name(name)
    assert "letters, digits" in (refused.value.hint or "")


@given(st.one_of(st.text(max_size=90), st.text(alphabet="./\\-_aC:oOnN~ \0", max_size=12)))
def test_no_name_leaves_the_store(name: str) -> None:
    try:
        folder = store.folder("gan", name)
    except UsageError:
        return
    root = store.models_folder() / "gan"
    assert folder.parent == root
    assert Path(os.path.normpath(folder)).parent == root
    assert folder.name == name
    assert not name.startswith(".")


# Finding


def test_finds_by_name_path_and_latest(tmp_path: Path) -> None:
    make("gan", "old", when=100)
    make("gan", "new", when=300)
    make("vae", "newer", when=400)
    make("gan", "empty", weights=False)
    assert store.find("gan", "old").name == "old"
    assert store.find("gan", "latest").name == "new"
    assert store.find(None, "latest").name == "newer"
    assert store.find(None, "vae/newer").art == "vae"
    elsewhere = tmp_path / "elsewhere"
    store.find("gan", "old").folder.rename(elsewhere)
    found = store.find("gan", str(elsewhere))
    assert (found.folder, found.art, found.name) == (elsewhere, "gan", "elsewhere")
    with pytest.raises(GencliError, match="is a gan model, not a vae model"):
        store.find("vae", str(elsewhere))


def test_a_relative_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("gan", "old").folder.rename(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert store.find("gan", "./mine").folder == tmp_path / "mine"
    assert store.find("gan", "mine").folder == tmp_path / "mine"


def test_missing_models_are_explained() -> None:
    with pytest.raises(GencliError, match="no trained gan model") as nothing:
        store.find("gan", "latest")
    assert "gencli gan train" in (nothing.value.hint or "")
    make("gan", "face")
    make("gan", "tree")
    make("vae", "digit")
    with pytest.raises(GencliError, match="no gan model called fase") as missing:
        store.find("gan", "fase")
    assert (missing.value.hint or "").startswith("did you mean face? there are: face, tree")
    with pytest.raises(GencliError, match="the vae model digit is another kind"):
        store.find("gan", "digit")
    with pytest.raises(GencliError, match="not a model folder"):
        store.find("gan", "some/where")


def test_a_name_of_two_arts_asks_which() -> None:
    make("gan", "face")
    make("vae", "face")
    assert store.find("vae", "face").art == "vae"
    with pytest.raises(UsageError) as unclear:
        store.find(None, "face")
    assert unclear.value.hint == "say which: gan/face or vae/face"


def test_models_that_ship_are_found_after_those_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = ship(tmp_path / "package", monkeypatch)
    assert (shipped.name, shipped.art, shipped.state) == ("prose", "textgen", "built in")
    assert [model.folder for model in store.built_in("textgen")] == [shipped.folder]
    assert store.built_in("gan") == store.models() == []
    for name in ("prose", "textgen/prose"):
        assert store.find(None, name).folder == shipped.folder
    with pytest.raises(GencliError, match="called proze") as caught:
        store.find("textgen", "proze")
    assert "prose" in str(caught.value.hint)
    with pytest.raises(UsageError, match="ships with gencli"):
        store.remove(shipped)
    own = make("textgen", "prose")
    assert store.find("textgen", "prose").folder == own.folder
    assert store.find("textgen", "latest").folder == own.folder


def test_lists_models_and_their_state() -> None:
    make("gan", "b")
    make("gan", "a", finished=False)
    make("dream", "c", weights=False)
    damaged = make("vae", "d")
    (damaged.folder / store.CONFIG).write_text("{")
    nested = make("vae", "e")
    (nested.folder / store.CONFIG).write_text("[" * 100_000)
    (store.models_folder() / "gan" / ".gencli-removed-1").mkdir()
    (store.models_folder() / "gan" / ".gencli-removed-1" / store.CONFIG).write_text("{}")
    listed = [(model.art, model.name, model.state) for model in store.models()]
    assert listed == [
        ("dream", "c", "unfinished"),
        ("gan", "a", "unfinished"),
        ("gan", "b", "finished"),
        ("vae", "d", "damaged"),
        ("vae", "e", "damaged"),
    ]
    assert [model.name for model in store.models("gan")] == ["a", "b"]
    assert Model(store.folder("gan", "b")).size > Model(store.folder("dream", "c")).size > 0


def test_no_store_is_an_empty_list() -> None:
    assert store.models() == []


# Weights


def test_weights_are_saved_and_loaded_tied_ones_too() -> None:
    model = make("gan", "face", weights=False)
    with pytest.raises(GencliError, match="no weights yet") as early:
        store.load_weights(model)
    assert "--resume" in (early.value.hint or "")
    weight = torch.randn(4, 3).to(memory_format=torch.contiguous_format)
    state = {"in": weight, "out": weight, "turned": weight.T, "part": weight[1:]}
    store.save_weights(model.folder, state, {"art": "gan", "width": 4})
    loaded = store.load_weights(model)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert json.loads(read_tensors(model.weights)[1]["gencli"]) == {"art": "gan", "width": 4}


def test_every_dtype_and_shape_is_as_the_library_reads_it(tmp_path: Path) -> None:
    floats = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
    whole = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    tensors = {str(dtype): (torch.arange(7) % 3).to(dtype) for dtype in floats + whole}
    tensors |= {
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "odd": torch.ones(3, dtype=torch.uint8),
    }
    write_tensors(tmp_path / "x.safetensors", tensors, {"a": "ü"})
    for loaded in (load_file(tmp_path / "x.safetensors"), read_tensors(tmp_path / "x.safetensors")[0]):
        assert loaded.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert loaded[name].dtype == tensor.dtype
            assert torch.equal(loaded[name], tensor)
    check_tensors(tmp_path / "x.safetensors")
    content = (tmp_path / "x.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    for name, entry in json.loads(content[8 : 8 + length]).items():  # aligned: readable without a copy
        assert name == "__metadata__" or entry["data_offsets"][0] % tensors[name].element_size() == 0


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "long header"])
def test_damaged_weights_are_errors_for_people(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    write_tensors(file, {"w": torch.zeros(100)}, {})
    content = file.read_bytes()
    broken = {
        "empty": b"",
        "cut": content[:-1],
        "text": b"hello, this is a text, not weights",
        "long header": (1 << 60).to_bytes(8, "little") + content[8:],
    }
    file.unlink() if damage == "missing" else file.write_bytes(broken[damage])
    for read in (read_tensors, check_tensors):
        with pytest.raises(GencliError, match=r"x\.safetensors"):
            read(file)


_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_TENSORS = st.integers(0, 4).map(lambda n: torch.arange(n))
_KEYS = st.text(max_size=4) | st.integers() | st.sampled_from(["dict", "tuple", "tensor", "a/b"])
_NESTED = st.recursive(
    _PLAIN | _TENSORS,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


@given(_NESTED)
def test_nested_state_comes_back_as_it_was(value: Any) -> None:
    tensors: dict[str, torch.Tensor] = {}
    packed = json.loads(json.dumps(pack(value, tensors)))
    assert _same(unpack(packed, tensors), value)


def test_what_cannot_be_saved_is_named() -> None:
    with pytest.raises(TypeError, match="a/b: a set cannot be saved"):
        pack({"a": {"b": {1}}}, {})


# Removing and locking


def test_removes_a_model_and_what_a_crash_left() -> None:
    model, other = make("gan", "face"), make("gan", "tree")
    leftover = model.folder.parent / ".gencli-removed-abc"
    leftover.mkdir()
    unrelated = model.folder.parent / ".unrelated"
    unrelated.mkdir()
    store.remove(model)
    assert not model.folder.exists()
    assert not leftover.exists()
    assert unrelated.exists()
    assert [item.name for item in store.models()] == [other.name]


def test_a_crash_while_removing_leaves_no_half_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("gan", "face")
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # killed before it deleted anything
    store.remove(model)
    assert store.models() == []
    assert not model.folder.exists()


def test_a_lock_is_exclusive_nestable_and_given_back() -> None:
    model = make("gan", "face")
    failures = []

    def from_elsewhere() -> None:
        try:
            store.remove(model)
        except GencliError as error:
            failures.append(str(error))

    assert not store.is_locked(model.folder)
    with store.lock(model.folder):
        with store.lock(model.folder):
            pass
        assert store.is_locked(model.folder)
        states = [model.state]
        thread = threading.Thread(target=from_elsewhere)
        thread.start()
        thread.join()
    assert failures == ["face is being trained by another process"]
    assert not store.is_locked(model.folder)
    assert [*states, model.state] == ["training", "finished"]


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_lock_ends_with_its_process() -> None:
    model = make("gan", "face")
    code = (
        "import sys, time; from pathlib import Path; from gencli.core import store\n"
        "with store.lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    root = Path(store.__file__).parents[2]
    command = [sys.executable, "-c", code, str(model.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(GencliError, match="being trained"), store.lock(model.folder):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with store.lock(model.folder):
        pass


def test_starting_and_resuming_are_checked() -> None:
    model = make("gan", "face")
    store.check_start(model.folder, resume=True)
    store.check_start(store.folder("gan", "fresh"), resume=False)
    with pytest.raises(UsageError, match="already"):
        store.check_start(model.folder, resume=False)
    with pytest.raises(UsageError, match="no model called fresh"):
        store.check_start(store.folder("gan", "fresh"), resume=True)


# Differences


def test_differences_name_what_changed() -> None:
    old = {
        "width": 64,
        "loss": "wgan",
        "sizes": (32, 64),
        "same": [1],
        "gone": 1,
        "deep": {"a": 1, "b": {"c": 2}},
    }
    new = {
        "width": 128,
        "loss": "wgan",
        "sizes": [32, 96],
        "same": (1,),
        "deep": {"a": 1, "b": {"c": 3}},
        "come": None,
    }
    assert store.differences(old, new) == [
        "width: 64 → 128",
        "sizes: [32, 64] → [32, 96]",
        "gone: 1 → (not there)",
        "deep.b.c: 2 → 3",
        "come: (not there) → null",
    ]
    (long,) = store.differences({"words": "a" * 500}, {"words": "b"})
    assert len(long) < 90


_OPTIONS = st.dictionaries(st.text(max_size=4), _PLAIN | st.lists(_PLAIN, max_size=3), max_size=4)


@given(_OPTIONS, _OPTIONS)
def test_differences_are_none_exactly_for_equal_options(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert store.differences(one, one) == []
    changed = store.differences(one, other)
    assert (changed == []) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True) or one == other)
