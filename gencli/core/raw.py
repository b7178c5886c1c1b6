"""Picture sets that are one file of raw pixels: the idx files of MNIST, the binary batches of CIFAR-10.

Each is a source like a folder or an archive: its members are PGM or PPM pictures (a line of text, then the
pixels), so everything behind it needs no second path for raw pixels.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gencli.core.errors import GencliError
from gencli.core.sources import Content, Member, Single, Source, contents, open_source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BYTES = 4 << 30  # a header may claim anything
CIFAR_RECORD = 1 + 3 * 32 * 32


class RawPictures(Source):
    """Pictures read at once by `read_all`: pixels uint8 (N, H, W) or (N, H, W, 3), and labels (N,)."""

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        read_all: Callable[[], tuple[NDArray[np.uint8], NDArray[Any]]],
    ) -> None:
        super().__init__(path)
        self._files, self._read_all = files, read_all

    @cached_property
    def _contents(self) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        return self._read_all()

    @property
    def labels(self) -> list[int]:
        """The label of each member."""
        return [int(label) for label in self._contents[1]]

    @cached_property
    def members(self) -> list[Member]:
        pixels, _ = self._contents
        return [Member(f"{number:05}", picture.nbytes, number) for number, picture in enumerate(pixels)]

    def read(self, members: Collection[Member]) -> Iterator[tuple[Member, Content]]:
        pixels, _ = self._contents
        height, width = pixels.shape[1:3]
        header = f"{'P5' if pixels.ndim == 3 else 'P6'} {width} {height} 255\n".encode()
        for member in sorted(members, key=lambda member: member.place):
            yield member, header + pixels[member.place].tobytes()

    def stamp(self) -> object:
        return [Single(file).stamp() for file in self._files]


def idx_pictures(images: Path, labels: Path) -> RawPictures:
    """A pair of idx files (LeCun et al. 1998), plain or compressed with gzip."""

    def read_all() -> tuple[NDArray[np.uint8], NDArray[Any]]:
        pixels, numbers = read_idx(images), read_idx(labels)
        if pixels.ndim != 3 or numbers.ndim != 1 or len(pixels) != len(numbers):
            raise GencliError(
                f"{images} holds an array {pixels.shape}, {labels} one of {numbers.shape}",
                "they should be pictures (N, height, width) and labels (N): is one of them another set's?",
            )
        return pixels, numbers

    return RawPictures(images, [images, labels], read_all)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The uint8 array of an idx file, plain or compressed with gzip. Raises GencliError if damaged."""
    import numpy as np

    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            zero, kind, dimensions = struct.unpack(">HBB", file.read(4))
            shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            count = 1
            for length in shape:
                count *= length
            if zero or kind != 8 or not dimensions or count > MAX_BYTES:
                raise GencliError(f"{path} is not an idx file of bytes", "MNIST's files are; fetch it again")
            data = file.read(count + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise GencliError(f"cannot read {path}: {error}", "it is damaged or incomplete; fetch it again") from error
    if len(data) != count:
        raise GencliError(
            f"{path} announces {count:,} bytes and holds {'more' if len(data) > count else f'{len(data):,}'}",
            "it is damaged or incomplete; fetch it again",
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def cifar_binary(path: Path, train: bool) -> RawPictures:
    """CIFAR-10's binary version: its folder, or its archive unopened."""

    def read_all() -> tuple[NDArray[np.uint8], NDArray[Any]]:
        import numpy as np

        source = open_source(path)
        wanted = [f"data_batch_{number}.bin" for number in range(1, 6)] if train else ["test_batch.bin"]
        members = {member.name.rpartition("/")[2]: member for member in source.members}
        if missing := [name for name in wanted if name not in members]:
            raise GencliError(f"{path} lacks {', '.join(missing)}", "it is incomplete; fetch it again")
        batches = dict[str, bytes]()
        for member, data in source.read([members[name] for name in wanted]):
            batches[member.name.rpartition("/")[2]] = contents(data)
        for name, batch in batches.items():
            if not batch or len(batch) % CIFAR_RECORD:
                raise GencliError(f"{path}: {name} has {len(batch):,} bytes, not a multiple of {CIFAR_RECORD}")
        records = np.frombuffer(b"".join(batches[name] for name in wanted), np.uint8).reshape(-1, CIFAR_RECORD)
        return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]

    return RawPictures(path, [path] if path.is_file() else sorted(path.glob("*.bin")), read_all)


def cifar_python(root: Path, train: bool) -> RawPictures:
    """CIFAR-10's Python version as torchvision keeps it. Its files are pickles: torchvision reads them,
    and only after their MD5 sums proved to be the original ones."""
    folder = root / "cifar-10-batches-py"

    def read_all() -> tuple[NDArray[np.uint8], NDArray[Any]]:
        import numpy as np
        from torchvision.datasets import CIFAR10

        try:
            pictures = CIFAR10(str(root), train=train, download=False)
        except RuntimeError as error:
            raise GencliError(
                f"{folder} is incomplete or altered: its files' MD5 sums are not those of CIFAR-10",
                "fetch it again; the binary version, cifar-10-binary.tar.gz, will do as well",
            ) from error
        return pictures.data, np.array(pictures.targets)

    return RawPictures(folder, sorted(path for path in folder.glob("*_batch*")), read_all)
