"""From hidden states to what next-token distributions say, without the distributions: the vocabulary goes by in blocks.

The logits of a block are made, used while they are in the cache, and dropped; what spans blocks is carried along, as
in online softmax (Milakov and Gimelshein, 2018). For a gradient the logits of the rows are kept, once, and every other
quantity is made from them again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Tokens a block on a CPU, where some hundred rows of it stay in the cache; elsewhere all tokens are one block.
BLOCK = 4096


def rows_by_matrix(x: Tensor, weight: Tensor) -> Tensor:
    """X Wᵀ.

    Args:
        x: [N, D].
        weight: [V, D].

    Returns:
        [N, V].
    """
    return torch.mm(x, weight.t())


class Projection(NamedTuple):
    """A model's map from hidden states to logits.

    Attributes:
        weight: [V, D].
        bias: [V] or None.
        temperature: That the logits are divided by.
        cap: What logits l are capped to, before the temperature: cap · tanh(l / cap); None for no cap.
        product: Multiplies: (X [N, D], W [V, D]) → X Wᵀ [N, V].
    """

    weight: Tensor
    bias: Tensor | None
    temperature: float
    cap: float | None = None
    product: Callable[[Tensor, Tensor], Tensor] = rows_by_matrix

    def block(self, hidden: Tensor, start: int, stop: int) -> Tensor:
        """Logits of some tokens, in at least float32.

        Args:
            hidden: [N, D], of the dtype that products are made in.
            start: First token.
            stop: Behind the last.

        Returns:
            [N, stop − start].
        """
        logits = self.product(hidden, self.weight[start:stop].to(hidden.dtype))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.bias is not None:
            logits += self.bias[start:stop]
        return capped(logits, self.cap).div_(self.temperature)


def capped(logits: Tensor, cap: float | None) -> Tensor:
    """A cap on logits that leaves small ones nearly as they are, or no cap.

    Args:
        logits: Of any shape; may be changed.
        cap: The cap, or None.

    Returns:
        cap · tanh(logits / cap).
    """
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)


class TokenFigures(NamedTuple):
    """What one position's distribution says; each [N], in at least float32.

    Attributes:
        logprobs: Of the sampled token.
        greedy_logprobs: Of the greedy token.
        entropy: Nats (G10); zeros if not asked for.
        kl: Exact KL to the reference, nats; zeros without one.
    """

    logprobs: Tensor
    greedy_logprobs: Tensor
    entropy: Tensor
    kl: Tensor


def token_figures(
    hidden: Tensor,
    projection: Projection,
    tokens: Tensor,
    greedy_ids: Tensor,
    reference: tuple[Tensor, Projection] | None = None,
    with_entropy: bool = False,
) -> TokenFigures:
    """Log-probabilities of two tokens, entropy and exact KL, with gradients to hidden states and projection.

    Equal to what log-softmax of all logits gives. The gradient to the logits is
    p ⊙ (c + g_KL log(p/q) − g_H log p) plus two numbers a row.

    Args:
        hidden: [N, D].
        projection: The policy's.
        tokens: int64 [N].
        greedy_ids: int64 [N].
        reference: Hidden states [N, D] and projection of the reference, constants; None for no KL.
        with_entropy: Whether the entropy is wanted.

    Returns:
        The figures.
    """
    ref_hidden, ref_projection = reference if reference is not None else (None, None)
    keep = torch.is_grad_enabled()
    return TokenFigures(
        *_TokenFigures.apply(*(hidden, *projection, tokens, greedy_ids, ref_hidden, ref_projection, with_entropy, keep))
    )


class _TokenFigures(torch.autograd.Function):
    """The pass over the vocabulary, and its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        temperature: float,
        cap: float | None,
        product: Callable[[Tensor, Tensor], Tensor],
        tokens: Tensor,
        greedy_ids: Tensor,
        ref_hidden: Tensor | None,
        ref_projection: Projection | None,
        with_entropy: bool,
        keep: bool,
    ) -> tuple[Tensor, ...]:
        dtype = product_dtype(hidden)
        policy, own = Projection(weight, bias, temperature, cap, product), hidden.to(dtype)
        other = None if ref_hidden is None else ref_hidden.to(dtype)
        kept, ref_kept = [], []
        sums, ref_sums = _Sums(hidden), _Sums(hidden)
        picked = [_Picked(tokens, hidden), _Picked(greedy_ids, hidden)]
        for start, stop in blocks(len(weight), hidden.device):
            block = policy.block(own, start, stop)
            ref_block = None
            if other is not None and ref_projection is not None:
                ref_block = ref_projection.block(other, start, stop)
                ref_sums.add(ref_block)
            sums.add(block, ref_block, with_entropy)
            for pick in picked:
                pick.look(block, start, stop)
            if keep:
                kept.append(block)
                ref_kept += [] if ref_block is None else [ref_block]
        figures = [pick.found - sums.log_total for pick in picked]
        entropy = sums.log_total - sums.mean_logit if with_entropy else torch.zeros_like(figures[0])
        kl = (
            sums.mean_ratio - sums.log_total + ref_sums.log_total if other is not None else torch.zeros_like(figures[0])
        )
        totals = (sums.log_total, ref_sums.log_total, entropy, kl)
        ctx.save_for_backward(hidden, weight, bias, tokens, greedy_ids, *totals, *kept, *ref_kept)
        ctx.with_entropy, ctx.with_kl, ctx.dtype = with_entropy, other is not None, dtype
        ctx.temperature, ctx.cap, ctx.product = temperature, cap, product
        return (*figures, entropy, kl)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, tokens, greedy_ids, log_total, ref_log_total, entropy, kl, *kept = ctx.saved_tensors
        token, greedy, of_entropy, of_kl = gradients
        parts = blocks(len(weight), hidden.device)
        offset = -(token + greedy)
        if ctx.with_kl:
            offset = offset + of_kl * (ref_log_total - log_total - kl)
        if ctx.with_entropy:
            offset = offset - of_entropy * (entropy - log_total)
        own = hidden.to(ctx.dtype)
        to_hidden = torch.zeros(hidden.shape, dtype=log_total.dtype, device=hidden.device)
        to_weight, to_bias = (
            torch.empty_like(x) if needed else None
            for x, needed in zip((weight, bias), ctx.needs_input_grad[1:3], strict=True)
        )
        picked = [(_Picked(tokens, hidden), token), (_Picked(greedy_ids, hidden), greedy)]
        for number, (start, stop) in enumerate(parts):
            block = kept[number]
            ratio = block - kept[len(parts) + number] if ctx.with_kl else torch.zeros_like(block)
            inner = ratio.mul_(of_kl[:, None])
            if ctx.with_entropy:
                inner.sub_(of_entropy[:, None] * block)
            out = (block - log_total[:, None]).exp_().mul_(inner.add_(offset[:, None]))
            for pick, gradient in picked:
                pick.put(out, gradient, start, stop)
            out = out.div_(ctx.temperature)
            if ctx.cap is not None:  # tanh′ = 1 − tanh²
                out = out.mul_(1.0 - (block * (ctx.temperature / ctx.cap)) ** 2)
            cast = out.to(ctx.dtype)
            to_hidden += ctx.product(cast, weight[start:stop].to(ctx.dtype).t())
            if to_weight is not None and to_weight.dtype == ctx.dtype:
                torch.mm(cast.t(), own, out=to_weight[start:stop])
            elif to_weight is not None:
                to_weight[start:stop] = cast.t() @ own
            if to_bias is not None:
                to_bias[start:stop] = out.sum(0)
        return to_hidden.to(hidden.dtype), to_weight, to_bias, *[None] * 9


class _Sums:
    """Σ e^l and its like over the tokens so far, relative to the largest logit so far; each [N]."""

    def __init__(self, hidden: Tensor):
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        self.largest = torch.full((len(hidden),), -torch.inf, dtype=dtype, device=hidden.device)
        self.total, self.logit, self.ratio = (torch.zeros_like(self.largest) for _ in range(3))

    def add(self, block: Tensor, ref_block: Tensor | None = None, with_logit: bool = False) -> None:
        """Take the logits of some more tokens in."""
        largest = torch.maximum(self.largest, block.amax(1))
        shrink = (self.largest - largest).exp()
        weights = (block - largest[:, None]).exp_()
        self.total = self.total * shrink + weights.sum(1)
        if with_logit:
            self.logit = self.logit * shrink + row_dots(weights, block)
        if ref_block is not None:
            self.ratio = self.ratio * shrink + row_dots(weights, block - ref_block)
        self.largest = largest

    @property
    def log_total(self) -> Tensor:
        """The logarithm of Σ e^l."""
        return self.largest + self.total.log()

    @property
    def mean_logit(self) -> Tensor:
        """Σ p l."""
        return self.logit / self.total

    @property
    def mean_ratio(self) -> Tensor:
        """Σ p (l − l_ref)."""
        return self.ratio / self.total


class _Picked:
    """The logit of one token a row, wherever its block is."""

    def __init__(self, ids: Tensor, hidden: Tensor):
        self.ids = ids
        self.found = torch.zeros(len(ids), dtype=torch.promote_types(hidden.dtype, torch.float32), device=ids.device)

    def look(self, block: Tensor, start: int, stop: int) -> None:
        """Take it from a block that has it."""
        inside = (self.ids >= start) & (self.ids < stop)
        here = block.gather(1, (self.ids - start).clamp(0, stop - start - 1)[:, None]).squeeze(1)
        self.found = torch.where(inside, here, self.found)

    def put(self, block: Tensor, numbers: Tensor, start: int, stop: int) -> None:
        """Add a number at the token's place in a block that has it."""
        inside = (self.ids >= start) & (self.ids < stop)
        places = (self.ids - start).clamp(0, stop - start - 1)
        block.scatter_add_(1, places[:, None], torch.where(inside, numbers, 0.0)[:, None])


def row_dots(x: Tensor, y: Tensor) -> Tensor:
    """Σ x y of each row, with no product kept.

    Args:
        x: [N, V].
        y: [N, V].

    Returns:
        [N].
    """
    with torch.autocast(y.device.type, enabled=False):  # which would make the product in bfloat16
        return torch.bmm(x[:, None], y[:, :, None]).flatten()


def product_dtype(hidden: Tensor) -> torch.dtype:
    """What products of hidden states are made in: autocast's dtype where it is on."""
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype


def blocks(size: int, device: torch.device) -> list[tuple[int, int]]:
    """First and behind-the-last token of each block."""
    step = BLOCK if device.type == "cpu" else size
    return [(start, min(start + step, size)) for start in range(0, size, step)]
