"""What a run holds in memory: counted of a trainer, or worked out from the shape of a model that nobody has loaded.

All figures are bytes. Weights, gradients and moments are float32, whatever the precision of forwards. The layers are
those of Llama, Mistral and Qwen (gated MLP, grouped queries), and attention keeps no matrix of scores. docs/size.md has
the figures of common sizes.
"""

from dataclasses import dataclass

FLOAT32, BFLOAT16 = 4, 2
ADAM = 2  # moments a weight
CHUNK = 2**24  # numbers of logits held at once, as in policy/model.py
BLOCKS = 5  # as large: logits of policy and reference, and what their gradient takes
# Bytes that a layer keeps of each of a token's D numbers: of residuals, norms, queries and attention. Where the norms'
# own weights train, their inputs are kept; in bfloat16 some are kept in both formats. Tests count them.
OF_FLOAT32, OF_BFLOAT16, OF_ADAPTER = 32, 30, 24


@dataclass(frozen=True)
class Needs:
    """Bytes that training holds all the time.

    Attributes:
        weights: Of the policy with its value head.
        references: Of the frozen copies beside it, and of the bfloat16 copy that samples.
        gradients: Of what trains; only while an update is made.
        moments: Adam's.
    """

    weights: int
    references: int
    gradients: int
    moments: int

    @property
    def optimizer(self) -> int:
        """Gradients and moments."""
        return self.gradients + self.moments

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.references + self.optimizer


def needs_of(weights: int, trained: int, copied: int, sampled: int = 0) -> Needs:
    """What training holds all the time.

    Args:
        weights: Bytes of the policy.
        trained: Bytes of what trains of it.
        copied: Bytes of frozen copies.
        sampled: Numbers of the bfloat16 copy that samples; 0 without one.

    Returns:
        The bytes.
    """
    return Needs(weights, copied + BFLOAT16 * sampled, trained, ADAM * trained)


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder, as a configuration of transformers names them.

    Attributes:
        hidden_size: D.
        intermediate_size: F, inside an MLP.
        num_hidden_layers: Layers.
        num_attention_heads: Heads, which share D.
        num_key_value_heads: Heads of keys and values.
        vocab_size: Tokens.
        tied: Whether embedding and projection to the vocabulary are one matrix.
        attention_bias: Whether queries, keys and values have a bias.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    tied: bool = True
    attention_bias: bool = False

    @property
    def keys(self) -> int:
        """Numbers of a token's keys in a layer."""
        return self.hidden_size // self.num_attention_heads * self.num_key_value_heads

    @property
    def head(self) -> int:
        """Weights of the projection to the vocabulary."""
        return self.vocab_size * self.hidden_size

    @property
    def weights(self) -> int:
        """All weights."""
        d, f, k = self.hidden_size, self.intermediate_size, self.keys
        layer = 2 * d * d + 2 * d * k + 3 * d * f + 2 * d + (d + 2 * k) * self.attention_bias
        return self.head * (1 if self.tied else 2) + layer * self.num_hidden_layers + d

    def adapter(self, rank: int) -> int:
        """Weights of a LoRA adapter on every linear layer but the projection to the vocabulary."""
        d, f, k = self.hidden_size, self.intermediate_size, self.keys
        return rank * (2 * 2 * d + 2 * (d + k) + 3 * (d + f)) * self.num_hidden_layers


@dataclass(frozen=True)
class Way:
    """How a model is trained.

    Attributes:
        batch: Completions of a rollout.
        prompt: Tokens of a prompt.
        completion: Tokens of a completion.
        at_once: Texts that learning takes at once (``per_device_train_batch_size``).
        bf16: Whether forwards and backwards are in bfloat16.
        rank: Of a LoRA adapter on every linear layer; None trains all weights.
        recomputed: Whether layers are computed again (``gradient_checkpointing``).
    """

    batch: int
    prompt: int
    completion: int
    at_once: int
    bf16: bool = False
    rank: int | None = None
    recomputed: bool = False

    @property
    def bytes(self) -> int:
        """Of a number in products."""
        return BFLOAT16 if self.bf16 else FLOAT32


@dataclass(frozen=True)
class Memory:
    """What a run takes on one device.

    Attributes:
        held: All the time, gradients only while learning.
        activations: What a forward keeps for its gradient.
        learning: What learning holds beside activations and gradients: reference states of the rollout, logits, the
            gradient of the projection on its way, and with bf16 the weights in that format.
        collecting: What a rollout holds: keys and values, and one layer of the forward that scores it.
    """

    held: Needs
    activations: int
    learning: int
    collecting: int

    @property
    def peak(self) -> int:
        """At most, of both parts of a step."""
        always = self.held.total - self.held.gradients
        return always + max(self.held.gradients + self.activations + self.learning, self.collecting)


def memory(shape: Shape, way: Way) -> Memory:
    """Work out what a run takes.

    Args:
        shape: Of the model.
        way: How it is trained.

    Returns:
        The bytes, without what Python, CUDA and the gaps between tensors take.
    """
    adapter = 0 if way.rank is None else shape.adapter(way.rank)
    weights, trained = FLOAT32 * (shape.weights + adapter), FLOAT32 * (adapter or shape.weights)
    copied = 0 if adapter else weights  # with an adapter the reference is the model without it
    held = needs_of(weights, trained, copied, shape.weights + adapter if way.bf16 else 0)
    return Memory(held, activations(shape, way), _learning(shape, way), _collecting(shape, way))


def activations(shape: Shape, way: Way) -> int:
    """What a learning forward keeps for its gradient, layers and last hidden states.

    Args:
        shape: Of the model.
        way: How it is trained.

    Returns:
        The bytes.
    """
    tokens, d = way.at_once * (way.prompt + way.completion - 1), shape.hidden_size
    whole = tokens * layer_activations(shape, way)
    last = tokens * 4 * d * FLOAT32
    if way.recomputed:  # the inputs of all layers, and one layer as a whole
        return tokens * d * FLOAT32 * shape.num_hidden_layers + whole + last
    return whole * shape.num_hidden_layers + last


def layer_activations(shape: Shape, way: Way) -> int:
    """What a layer keeps of a token: inputs of norms, of linear layers, of attention and of the gate.

    Args:
        shape: Of the model.
        way: How it is trained; what would be kept for the gradient of a frozen weight is not.

    Returns:
        The bytes.
    """
    adapter = way.rank is not None
    wide = OF_ADAPTER if adapter else OF_BFLOAT16 if way.bf16 else OF_FLOAT32
    narrow = way.bytes * (2 * shape.keys + 4 * shape.intermediate_size + 7 * (way.rank or 0))
    return wide * shape.hidden_size + narrow + FLOAT32 * (shape.num_attention_heads + 2)


def _learning(shape: Shape, way: Way) -> int:
    """As :class:`Memory` has it."""
    states = way.batch * way.completion * shape.hidden_size * way.bytes
    logits = BLOCKS * FLOAT32 * min(CHUNK, way.at_once * way.completion * shape.vocab_size)
    head = 0 if way.rank is not None else 2 * FLOAT32 * shape.head
    # Autocast keeps its casts of what trains to the end of a forward, and a gradient needs those of what is frozen.
    cast = BFLOAT16 * shape.weights if way.bf16 and not (way.recomputed and way.rank is not None) else 0
    return states + logits + head + cast


def _collecting(shape: Shape, way: Way) -> int:
    """As :class:`Memory` has it."""
    tokens = way.batch * (2 * way.prompt + 3 * way.completion)  # the greedy branch and the reference have theirs
    cache = tokens * 2 * shape.keys * shape.num_hidden_layers * way.bytes
    return cache + way.batch * way.completion * (3 * shape.intermediate_size + 2 * shape.hidden_size) * way.bytes
