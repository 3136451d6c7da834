"""The floor of a step: what its operations and bytes take at the rates that the machine reaches."""

from dataclasses import dataclass

from transformers import PreTrainedModel

from benchmarks.measuring import Rates

ADAM_BYTES = 7 * 4  # a weight: read it, its gradient and two moments, write all but the gradient; in float32
NORM_BYTES = 2 * 4  # the gradient's norm reads it, clipping scales it
BACKWARD = 2  # products of a backward for each of the forward


@dataclass(frozen=True)
class Work:
    """What one step of PPO has to do at least.

    Attributes:
        trunk: Weights of the layers that every token is multiplied with.
        head: Weights of the vocabulary projection.
        cache: Bytes of keys and values a token.
        bytes: A number.
        prompt: Tokens of the one prompt.
        rows: Completions.
        tokens: Of a completion.
    """

    trunk: int
    head: int
    cache: int
    bytes: int
    prompt: int
    rows: int
    tokens: int

    def sampling(self, rates: Rates) -> float:
        """Seconds: each decoding step reads all weights and the keys so far, and multiplies."""
        seconds = self._pass(rates, self.prompt, 1)
        for t in range(1, self.tokens):
            keys = self.cache * self.rows * (self.prompt + t)
            seconds += self._pass(rates, self.rows, self.rows, keys)
        return seconds

    def learning(self, rates: Rates, epochs: int, minibatches: int) -> float:
        """Seconds: forward and backward of each minibatch, the reference's projection, norm and optimizer."""
        rows = self.rows / minibatches
        fed = self.prompt + rows * (self.tokens - 1)
        forward = self._flops(fed, rows * self.tokens)
        reference = 2 * self.head * rows * self.tokens
        products = (forward * (1 + BACKWARD) + reference) / rates.flops
        weights = (self.trunk + self.head) * (ADAM_BYTES + NORM_BYTES) / rates.bandwidth
        return epochs * minibatches * (products + weights)

    def _flops(self, fed: float, projected: float) -> float:
        """Of one forward."""
        return 2 * (self.trunk * fed + self.head * projected)

    def _pass(self, rates: Rates, fed: float, projected: float, keys: float = 0.0) -> float:
        """The longer of multiplying and reading; attention's own products are left out, which lowers the floor."""
        read = (self.trunk + self.head) * self.bytes + keys
        return max(self._flops(fed, projected) / rates.flops, read / rates.bandwidth)


def work(lm: PreTrainedModel, number: int, prompt: int, rows: int, tokens: int) -> Work:
    """The work of a model.

    Args:
        lm: The model.
        number: Bytes of the number format.
        prompt: Tokens of the one prompt.
        rows: Completions.
        tokens: Of a completion.

    Returns:
        Its work.
    """
    head = lm.get_output_embeddings().weight.numel()
    embedded = {id(lm.get_output_embeddings().weight), id(lm.get_input_embeddings().weight)}
    trunk = sum(p.numel() for p in lm.parameters() if p.ndim == 2 and id(p) not in embedded)
    positions = getattr(getattr(lm, lm.base_model_prefix), "wpe", None)
    trunk -= positions.weight.numel() if positions is not None else 0
    config = lm.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    cache = 2 * config.num_hidden_layers * heads * (config.hidden_size // config.num_attention_heads) * number
    return Work(trunk, head, cache, number, prompt, rows, tokens)
