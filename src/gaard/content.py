"""Values as JSON that is the same for equal values in every process: what fingerprints are taken of."""

import datetime as dt
import decimal
import enum
import fractions
import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

# Their repr says all of them, and nothing of the process.
TOLD_BY_REPR = (
    dt.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    complex,
    range,
    slice,
    np.dtype,
    torch.dtype,
)


def short_hash(content: bytes | str) -> str:
    """The first 16 hexadecimal digits of a sha256."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def as_json(value: Any, other: Callable[[Any], Any]) -> Any:
    """What stands for a value in JSON.

    Args:
        value: Numbers, texts, dates, paths, arrays, tensors, enumerations, and lists, sets and mappings of them.
        other: What stands for anything else.

    Returns:
        Equal for equal values, in every process and on every machine; of arrays, sets and bytes with a hash of them.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, (list, tuple)):
        return [as_json(item, other) for item in value]
    if isinstance(value, Mapping):
        return _mapping(value, other)
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((as_json(item, other) for item in value), key=_written)}
    return _scalar_or_array(value, other)


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _mapping(value: Mapping[Any, Any], other: Callable[[Any], Any]) -> Any:
    """Keys of several types cannot be sorted, and in JSON 1 and "1" would be one key."""
    if all(type(key) is str for key in value):
        return {key: as_json(item, other) for key, item in value.items()}
    pairs = [[as_json(key, other), as_json(item, other)] for key, item in value.items()]
    return {"pairs": sorted(pairs, key=_written)}


def _scalar_or_array(value: Any, other: Callable[[Any], Any]) -> Any:
    """The types of the standard library, of numpy and of torch."""
    kind = type(value).__name__
    if isinstance(value, enum.Enum):
        return {kind: value.name}
    for base in (str, int, float):
        if isinstance(value, base) and not isinstance(value, np.generic):
            return {kind: as_json(base(value), other)}
    if isinstance(value, (bytes, bytearray)):
        return {kind: short_hash(bytes(value))}
    if isinstance(value, (dt.date, dt.time)):  # a datetime is a date
        return {kind: value.isoformat()}
    if isinstance(value, TOLD_BY_REPR):
        return {kind: repr(value)}
    if isinstance(value, re.Pattern):  # whose repr is cut
        return {"pattern": [as_json(value.pattern, other), value.flags]}
    if isinstance(value, PurePath):
        return {"path": value.as_posix()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _array(value, other)
    if isinstance(value, torch.Tensor):
        return _tensor(value, other)
    return other(value)


def _array(value: np.ndarray | np.generic, other: Callable[[Any], Any]) -> Any:
    if value.dtype.hasobject:
        return {"array": as_json(value.tolist(), other)}
    return {"array": [value.dtype.str, list(value.shape), short_hash(value.tobytes())]}


def _tensor(value: torch.Tensor, other: Callable[[Any], Any]) -> Any:
    try:
        # A scalar has no byte view, hence the flat one; numpy has no bfloat16, hence bytes.
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return {"tensor": [str(value.dtype), list(value.shape), short_hash(flat.numpy().tobytes())]}
    except (RuntimeError, NotImplementedError):  # sparse, or without data
        return other(value)
