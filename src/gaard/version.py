"""The version, apart from everything that takes long to import."""

__version__ = "0.1.0"
