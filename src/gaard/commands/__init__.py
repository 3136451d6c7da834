"""The commands of ``gaard``, a module each."""
