"""gencli: the five generative arts of deep learning in one command line."""

__version__ = "0.1.0"
