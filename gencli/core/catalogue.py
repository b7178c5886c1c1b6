"""The picture sets known by name: their layouts on the disk, their classes, and where they come from.

Each set has a function that looks for it below a data root, in torchvision's layout and in that of its
makers, and gives a `Layout` or None. Nothing is read before the layout is asked to list a part.
"""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gencli.core import files
from gencli.core.drawn import sets
from gencli.core.errors import GencliError, MissingError
from gencli.core.layouts import (
    Item,
    Layout,
    Listing,
    Split,
    arrange_folders,
    gather,
    labelled_listing,
    open_sources,
)
from gencli.core.raw import RawPictures, cifar_binary, cifar_python, idx_pictures
from gencli.core.sources import ARCHIVE_SUFFIXES, Folder, Single, Source, contents, is_picture, open_source

DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
CIFAR_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CELEBA_PARTS = {"train": (0,), "val": (1, 2), "test": (2, 1)}  # the partition's numbers, the best first
_FORMS = {"mnist": (28, 1), "fashion-mnist": (28, 1), "cifar10": (32, 3), "facades": (256, 3)}
TIMEOUT = 30  # seconds without a byte after which a download has failed


@dataclass(frozen=True)
class KnownSet:
    """What is known about a set: for people, and how to find it below a data root, or fetch it into one."""

    name: str
    about: str
    licence: str
    files: str  # what to put below the data root
    origin: str
    find: Callable[[Path], Layout | None]
    download: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class Description:
    """A known or drawn set for people: `where` it is (None: not there), how to `get` it, and its `licence`."""

    name: str
    about: str
    where: str | None
    get: str
    licence: str


def names() -> tuple[str, ...]:
    """The names of all known sets."""
    return tuple(_SETS)


def all_names() -> tuple[str, ...]:
    """The names of all known sets and of the drawn ones."""
    return (*_SETS, *sets.SETS)


def describe(name: str, root: Path | None = None) -> Description:
    """What is known of a set, and whether it lies below `root` (default `GENCLI_HOME/data`)."""
    if name in sets.SETS:
        more = f"nothing to get; {name}:{3 * sets.USUAL} makes so many to learn from in place of {sets.USUAL}"
        return Description(name, sets.SETS[name].about, "drawn when first used", more, "Apache-2.0")
    root = root or files.home() / "data"
    known = _SETS[name]
    layout = known.find(root)
    get = "downloaded when first used, or by hand: " if known.download else ""
    get += f"put {known.files} into {root} (from {known.origin})"
    return Description(name, known.about, str(layout.where) if layout else None, get, known.licence)


def find(name: str, root: Path) -> Layout:
    """Where a known set lies below `root`; downloaded into it if it can be and may be.

    Raises MissingError that says what to put where.
    """
    known = _SETS[name]
    if (layout := known.find(root)) is not None:
        return layout
    message, reason = f"the picture set {name} is not in {root}", ""
    if known.download and files.offline():
        reason = ", and downloads are switched off"
    elif known.download:
        try:
            known.download(root)
        except Exception as error:  # whatever the network, torchvision or the disk raise
            reason = f", and its download failed: {' '.join(str(error).split()) or type(error).__name__}"
        else:
            if (layout := known.find(root)) is not None:
                return layout
    raise MissingError(
        message + reason, f"put {known.files} into {root} (from {known.origin}), or name another --data-root"
    )


def _idx_set(name: str, folder: str, classes: tuple[str, ...]) -> Callable[[Path], Layout | None]:
    def look(root: Path) -> Layout | None:
        for place in (root / folder / "raw", root / folder, root / name):
            paths = {
                (part, kind): path
                for part in ("train", "t10k")
                for kind in ("images-idx3", "labels-idx1")
                for suffix in (".gz", "")
                if (path := place / f"{part}-{kind}-ubyte{suffix}").is_file()
            }
            if len(paths) == 4:
                train, test = (
                    idx_pictures(paths[part, "images-idx3"], paths[part, "labels-idx1"]) for part in ("train", "t10k")
                )
                return _raw_layout(name, place, train, test, classes)
        return None

    return look


def _raw_layout(name: str, where: Path, train: RawPictures, test: RawPictures, classes: tuple[str, ...]) -> Layout:
    def arrange(split: Split) -> Listing:
        source = train if split == "train" else test
        items = [Item(source, member, member.name) for member in source.members]
        if max(source.labels, default=0) >= len(classes):
            raise GencliError(f"{source.path} has a label {max(source.labels)}; {name} has {len(classes)} classes")
        return Listing(items, source.labels, classes)

    return Layout(name, where, [train, test], arrange)


def _cifar10(root: Path) -> Layout | None:
    for place in (root / "cifar-10-batches-bin", root / "cifar-10-binary.tar.gz"):
        if place.exists():
            return _raw_layout("cifar10", place, cifar_binary(place, True), cifar_binary(place, False), CIFAR_CLASSES)
    if (place := root / "cifar-10-batches-py").is_dir():
        return _raw_layout("cifar10", place, cifar_python(root, True), cifar_python(root, False), CIFAR_CLASSES)
    if (place := root / "cifar10").is_dir() and _has_pictures(sources := open_sources(place)):

        def arrange(split: Split) -> Listing:
            parts = gather(sources)
            return labelled_listing(parts.items[parts.choose(split)[0]], CIFAR_CLASSES)

        return Layout("cifar10", place, sources, arrange)
    return None


def _tiny_imagenet(root: Path) -> Layout | None:
    """Stanford's folder or zip, or a folder of shards with a table of classes."""
    for place in (root / "tiny-imagenet-200", root / "tiny-imagenet-200.zip", root / "tiny-imagenet"):
        if place.exists() and _has_pictures(sources := open_sources(place)):
            tables = [Single(path) for path in _existing(place, "classes.tsv", "words.txt")]
            return Layout(
                "tiny-imagenet",
                place,
                [*sources, *tables],
                partial(_arrange_tiny, open_source(place), sources),
            )
    return None


def _arrange_tiny(tables: Source, sources: list[Source], split: Split) -> Listing:
    """One part; classes are numbered by their sorted WordNet ids, and called by their first English name."""
    parts = gather(sources)
    words: dict[str, str] = {}
    if table := tables.text("classes.tsv"):
        words = {wnid: name for _, wnid, name in _rows(table, 3)}
        classes = sorted(words)
    else:
        words = {row[0]: row[1] for row in _rows(tables.text("words.txt") or "", 2)}
        train = parts.items.get("train", ())
        classes = sorted((tables.text("wnids.txt") or "").split() or {i.path.split("/", 1)[0] for i in train})
    # Stanford's test pictures have no labels
    part = "val" if split != "train" and "val" in parts.items else parts.choose(split)[0]
    items = parts.items[part]
    if split != "train" and (table := tables.text("val_annotations.txt")):
        wnids = {row[0]: row[1] for row in _rows(table, 2)}
        items = [item._replace(path=f"{wnids.get(_base(item.path), '')}/{_base(item.path)}") for item in items]
    full = [words.get(wnid, wnid) for wnid in classes]
    short = [name.split(",")[0] for name in full]
    return labelled_listing(items, classes, [b if short.count(b) == 1 else a for a, b in zip(full, short, strict=True)])


def _celeba(root: Path) -> Layout | None:
    place = root / "celeba"
    images = [path for suffix in ("", *ARCHIVE_SUFFIXES) for path in _existing(place, f"img_align_celeba{suffix}")]
    if not images:
        return None
    source = open_source(images[0])
    tables = _existing(place, "list_attr_celeba.txt", "list_eval_partition.txt")
    return Layout("celeba", place, [source, *map(Single, tables)], lambda split: _arrange_celeba(place, source, split))


def _arrange_celeba(place: Path, source: Source, split: Split) -> Listing:
    """One part by the official partition if there is one; with attributes if there are any."""
    items = sorted(
        (Item(source, member, _base(member.name)) for member in source.members if is_picture(member.name)),
        key=lambda item: item.path,
    )
    lines = (row for row in _words(place / "list_eval_partition.txt") if len(row) == 2)
    official = {name: int(part) for name, part in lines if part in {"0", "1", "2"}}
    part = {item.path: official.get(item.path, 0) for item in items}
    present = set(part.values())
    if 0 not in present or len(present) == 1:  # a part of the set, or no partition: a twentieth is the test
        part = {path: 2 if zlib.crc32(path.encode()) % 20 == 0 else 0 for path in part}
        present = {0, 2}
    wanted = next(number for number in CELEBA_PARTS[split] if number in present)
    items = [item for item in items if part[item.path] == wanted]
    attributes_file = place / "list_attr_celeba.txt"
    if not attributes_file.exists():
        return Listing(items)
    table = _words(attributes_file)  # the count, the names of the attributes, a row for each picture
    attribute_names = tuple(table[1]) if len(table) > 1 else ()
    rows = {row[0]: row[1:] for row in table[2:] if row}
    if missing := [item.path for item in items if item.path not in rows]:
        raise GencliError(
            f"{attributes_file} has no line for {missing[0]} (nor for {len(missing) - 1} other pictures)",
            "use the list that belongs to the pictures, or remove it to do without attributes",
        )
    attributes = [[value == "1" for value in rows[item.path]] for item in items]
    if any(len(row) != len(attribute_names) for row in attributes):
        raise GencliError(f"{attributes_file} has lines without {len(attribute_names)} values", "fetch it again")
    return Listing(items, attributes=attributes, attribute_names=attribute_names)


def _facades(root: Path) -> Layout | None:
    for place in (root / "facades", *(root / f"facades{suffix}" for suffix in ARCHIVE_SUFFIXES)):
        if place.exists() and _has_pictures(sources := open_sources(place)):
            return Layout("facades", place, sources, lambda split: arrange_folders(sources, split), "left")
    return None


@contextlib.contextmanager
def _fetched(root: Path) -> Iterator[Path]:
    """A folder to download into; what arrived whole is then moved to the same place below `root`."""
    root.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    silence = io.StringIO()  # torchvision's bars are for terminals; nothing of it belongs on standard output
    bars = sys.stderr if sys.stderr.isatty() else silence
    with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
        socket.setdefaulttimeout(TIMEOUT)
        try:
            with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(bars):
                yield Path(folder)
        finally:
            socket.setdefaulttimeout(before)
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            target = root / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)


def _download_mnist(root: Path) -> None:
    from torchvision.datasets import MNIST

    with _fetched(root) as folder:
        MNIST(str(folder), download=True)


def _download_fashion_mnist(root: Path) -> None:
    from torchvision.datasets import FashionMNIST

    with _fetched(root) as folder:
        FashionMNIST(str(folder), download=True)


def _download_cifar10(root: Path) -> None:
    """The binary version: torchvision's own choice, the Python version, holds pickles."""
    from torchvision.datasets.utils import download_url

    with _fetched(root) as folder:
        download_url(CIFAR_URL, str(folder), md5=CIFAR_MD5)


def _has_pictures(sources: Iterable[Source]) -> bool:
    """Whether there are archives, or pictures in a folder. Does not open archives."""
    return any(not isinstance(source, Folder) or any(is_picture(m.name) for m in source.members) for source in sources)


def _existing(folder: Path, *names: str) -> list[Path]:
    return [folder / name for name in names if (folder / name).exists()]


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _rows(table: str, columns: int) -> list[list[str]]:
    """The first columns of a table separated by tabs; shorter lines are left out."""
    rows = (line.strip().split("\t") for line in table.splitlines())
    return [row[:columns] for row in rows if len(row) >= columns]


def _words(path: Path) -> list[list[str]]:
    """The words of each line of a text file; nothing when there is no such file."""
    text = contents(path).decode(errors="replace") if path.exists() else ""
    return [line.split() for line in text.splitlines()]


_IDX = "{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte (.gz or not)"
_SETS = {
    known.name: known
    for known in (
        KnownSet(
            "mnist",
            "70,000 handwritten digits, 28 x 28 grey, 10 classes (LeCun et al. 1998)",
            "CC BY-SA 3.0",
            f"MNIST/raw/ with {_IDX}",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            _idx_set("mnist", "MNIST", DIGITS),
            _download_mnist,
        ),
        KnownSet(
            "fashion-mnist",
            "70,000 pictures of clothes, 28 x 28 grey, 10 classes (Xiao et al. 2017)",
            "MIT",
            f"FashionMNIST/raw/ with {_IDX}",
            "https://github.com/zalandoresearch/fashion-mnist",
            _idx_set("fashion-mnist", "FashionMNIST", CLOTHES),
            _download_fashion_mnist,
        ),
        KnownSet(
            "cifar10",
            "60,000 pictures, 32 x 32 colour, 10 classes (Krizhevsky 2009)",
            "none stated; cite the technical report",
            "cifar-10-binary.tar.gz (or its folder cifar-10-batches-bin, or cifar-10-batches-py)",
            CIFAR_URL,
            _cifar10,
            _download_cifar10,
        ),
        KnownSet(
            "celeba",
            "202,599 faces, aligned, 178 x 218 colour, 40 attributes (Liu et al. 2015)",
            "research only, non-commercial",
            "celeba/img_align_celeba.zip (or the folder) with celeba/list_attr_celeba.txt and, if at hand, "
            "celeba/list_eval_partition.txt",
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
            _celeba,
        ),
        KnownSet(
            "tiny-imagenet",
            "110,000 labelled pictures, 64 x 64 colour, 200 classes (Stanford CS231n, from ImageNet)",
            "research only, non-commercial (ImageNet's terms)",
            "tiny-imagenet-200.zip (or its folder tiny-imagenet-200)",
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            _tiny_imagenet,
        ),
        KnownSet(
            "facades",
            "606 fronts of houses beside their label maps, 512 x 256 (Tylecek and Sara 2013)",
            "not stated; cite the paper",
            "facades.tar.gz (or its folder facades, with train, val and test)",
            "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz",
            _facades,
        ),
    )
}


def usual_form(name: str) -> tuple[int, int]:
    """The side in pixels and the channels in which the pictures of a set are mostly used; 64 and 3 for any other."""
    if name.startswith("@"):
        drawn = sets.find(name)
        return drawn.size, drawn.channels
    return _FORMS.get(name, (64, 3))
