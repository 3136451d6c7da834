"""The commands of ``gaard``, one file each: ``SUMMARY``, a line for the overview, and ``main(words)``.

What is slow to import, torch before all, stands inside functions: help and a typo should not wait for it.
"""
