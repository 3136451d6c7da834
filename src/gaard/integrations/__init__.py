"""Gaard inside other trainers, one file each. A file imports its trainer only where that is needed."""
