"""`python -m gencli`, the console script, and the door for torchrun."""

import sys


def main() -> None:
    try:
        from gencli.app import run

        code = run()
    except KeyboardInterrupt:  # before there was anything to stop, or in the middle of saying so
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
