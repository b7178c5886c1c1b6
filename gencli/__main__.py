"""`python -m gencli`, the console script, and the door for torchrun."""

import os
import sys


def main() -> None:
    try:
        from gencli.app import run

        code = run()
    except KeyboardInterrupt:  # before there was anything to stop, or in the middle of saying so
        code = 130
    _leave(code)


def _leave(code: int) -> None:
    """End the process. To take PyTorch apart object by object takes a second and a hundred megabytes, for nothing: so
    once it was imported, only what asked to be told of the end is told of it."""
    if "torch" not in sys.modules:
        sys.exit(code)
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python does
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except KeyboardInterrupt:
        code = 130
    except OSError:  # nobody reads any more, which `run` has dealt with
        pass
    os._exit(code)


if __name__ == "__main__":
    main()
