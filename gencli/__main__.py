"""`python -m gencli`, the console script, and the door for torchrun."""

import sys

from gencli.app import run


def main() -> None:
    sys.exit(run())


if __name__ == "__main__":
    main()
