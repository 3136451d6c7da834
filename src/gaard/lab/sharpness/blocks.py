"""Parts of a language model that have curvature of their own: all of it, the unembedding, one MLP, attention."""

import re

from gaard.errors import ConfigError
from gaard.policy.model import Policy
from gaard.settings import suggest
from gaard.sharpness.block import Block

ALL, UNEMBEDDING, MLP, ATTENTION = "all", "unembedding", "mlp", "attention"
NAMES = (ALL, UNEMBEDDING, MLP, ATTENTION)
# As transformers names them: GPT-2 attn and mlp, Llama self_attn and mlp, OPT fc1, BLOOM self_attention.
PATTERNS = {MLP: r"\.(mlp|feed_forward|ffn|fc\d)\.", ATTENTION: r"\.(attn|self_attn|attention|self_attention)\."}
LAYER = re.compile(r"\.(\d+)\.")


def named_blocks(policy: Policy) -> dict[str, Block]:
    """The blocks that a model has; without its value head, and without what is frozen.

    Args:
        policy: The policy.

    Returns:
        Name → block: ``all``; ``unembedding``, which is the embedding too where a model ties them; ``mlp``, that of the
        last layer; ``attention``, of all layers. A model whose parts have other names lacks some.
    """
    found = {name: p for name, p in policy.lm.named_parameters() if p.requires_grad}
    head = {id(p) for p in policy.lm.get_output_embeddings().parameters()}
    last = max((int(at[1]) for name in found if (at := LAYER.search(name))), default=-1)
    chosen = {
        ALL: list(found),
        UNEMBEDDING: [name for name, p in found.items() if id(p) in head],
        MLP: [name for name in found if re.search(PATTERNS[MLP], name) and f".{last}." in name],
        ATTENTION: [name for name in found if re.search(PATTERNS[ATTENTION], name)],
    }
    return {block: Block(tuple(names), tuple(found[x] for x in names)) for block, names in chosen.items() if names}


def chosen_blocks(policy: Policy, wanted: list[str]) -> dict[str, Block]:
    """Those of :func:`named_blocks` that are asked for.

    Args:
        policy: The policy.
        wanted: Names.

    Returns:
        Name → block.

    Raises:
        ConfigError: For a name that this model has no block of.
    """
    there = named_blocks(policy)
    for name in wanted:
        if name not in there:
            raise ConfigError(f"--blocks {name}: this model has no such block: {suggest(name, there)}")
    return {name: there[name] for name in wanted}
