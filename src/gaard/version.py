"""The version, apart from everything that takes long to import."""

__version__ = "0.1.0"

# Moves whenever a run of the same settings would give other metrics; tests/oracle/test_golden.py tells when.
ALGORITHM_VERSION = 2
