"""Make a page's pictures again, by the commands that stand beside them.

    python docs/draw.py docs/gallery-dream.md
    python docs/draw.py docs/gallery-dream.md --only dream-lake.jpg

Each line of the page's code that begins with `gencli` is run in `docs/images`. Those that write a picture which the
page does not show, and pictures that no command writes, are told before anything is run.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent / "images"


def commands(page: str) -> dict[str, list[str]]:
    """What is to be run for each picture, by its file's name."""
    found = {}
    for block in re.findall(r"```bash\n(.*?)```", page, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["gencli"] and "-o" in words:
                found[words[words.index("-o") + 1]] = words[1:]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--only", action="append", help="of the pictures these; repeatable")
    given = parser.parse_args()
    page = given.page.read_text(encoding="utf-8")
    found, shown = commands(page), set(re.findall(r"\(images/([^)]+)\)", page))
    if odd := shown ^ set(found):
        sys.exit(f"{given.page}: not both shown and made: {', '.join(sorted(odd))}")
    with tempfile.TemporaryDirectory() as empty:
        for name in given.only or found:
            print("gencli", shlex.join(found[name]), flush=True)
            # of the networks of one's own it would take the newest, in place of one that ships
            env = os.environ | ({"GENCLI_HOME": empty} if "--fast" in found[name] else {})
            subprocess.run([sys.executable, "-m", "gencli", *found[name]], cwd=FOLDER, env=env, check=True)


if __name__ == "__main__":
    main()
