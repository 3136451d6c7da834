"""What the name of a model means: an alias, a folder, a GGUF file, an adapter, or a repository of the model hub."""

from gaard.extras import need

need("train", __name__)
