"""The commands of ``gaard``, one file each."""
