"""The keys and values of a rollout: room for all at once, prompts that rows share, rows that leave early."""

import functools

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class RolloutLayer(DynamicLayer):
    """One layer's keys and values, written into room made beforehand: a growing cache would be copied at every token.

    Args:
        room: Places a row.
        rows: Of the batch, to whom the first keys belong: int64 [B], a row of the first update each.
    """

    def __init__(self, room: int, rows: Tensor):
        super().__init__()
        self.room = room
        self.rows = rows
        self.all_keys = self.all_values = torch.empty(0)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make the room; zeros, since what is masked must still be finite."""
        super().lazy_initialization(key_states, value_states)
        shapes = [(len(self.rows), x.shape[1], self.room, x.shape[3]) for x in (key_states, value_states)]
        self.all_keys, self.all_values = (key_states.new_zeros(shape) for shape in shapes)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write what is new behind what is there.

        Args:
            key_states: [b, H, L, D].
            value_states: The same.
            *args: Ignored.
            **kwargs: Ignored.

        Returns:
            Keys and values of the rows still in the batch, [b, H, past + L, D]; at first the given ones, since
            distinct prompts attend to themselves.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            length = key_states.shape[2]
            self.all_keys[:, :, :length] = key_states[self.rows]
            self.all_values[:, :, :length] = value_states[self.rows]
            self.show(len(self.rows), length)
            return key_states, value_states
        rows, start = len(key_states), self.get_seq_length()
        length = start + key_states.shape[2]
        self.all_keys[:rows, :, start:length] = key_states
        self.all_values[:rows, :, start:length] = value_states
        self.show(rows, length)
        return self.keys, self.values

    def show(self, rows: int, length: int) -> None:
        """Let the model see the first rows and places."""
        self.keys, self.values = self.all_keys[:rows, :, :length], self.all_values[:rows, :, :length]

    def reorder(self, order: Tensor) -> None:
        """Move rows; ``order`` may name the first rows only."""
        length = self.get_seq_length()
        for x in (self.all_keys, self.all_values):
            x[: len(order), :, :length] = x[order, :, :length]


class RolloutCache(Cache):
    """Keys and values of a batch whose prompts may be shared and whose rows may leave before the others.

    Args:
        room: Places a row.
        rows: int64 [B]: for each row of the batch, which of the distinct prompts is its own. The first update is
            that of the distinct prompts.
    """

    layers: list[RolloutLayer]

    def __init__(self, room: int, rows: Tensor):
        super().__init__(layer_class_to_replicate=functools.partial(RolloutLayer, room, rows))
        self.order = torch.arange(len(rows), device=rows.device)  # of the batch's rows in the room

    def keep(self, staying: Tensor) -> None:
        """Let rows leave; what they left stays, out of sight.

        Args:
            staying: bool [b], of the rows now in sight.
        """
        count = len(staying)
        moved = torch.cat([staying.nonzero().flatten(), (~staying).nonzero().flatten()])
        self.order[:count] = self.order[moved]
        for layer in self.layers:
            layer.reorder(moved)
            layer.show(int(staying.sum()), layer.get_seq_length())

    def restore(self) -> None:
        """All rows again, in the order of the batch."""
        everything, back = torch.arange(len(self.order), device=self.order.device), self.order.argsort()
        for layer in self.layers:
            if not torch.equal(back, everything):
                layer.reorder(back)
            layer.show(len(back), layer.get_seq_length())
        self.order = everything
