"""The commands of ``gaard``, a file each: ``SUMMARY`` in a line, and ``main(words)``, which returns the exit status."""
