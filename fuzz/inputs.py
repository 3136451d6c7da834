"""Inputs for the readers in `fuzz/targets.py`: of the right form, nearly, and of none."""

import struct

import torch
from hypothesis import strategies as st

from gaard.lab.spec import RunSpec

FIELDS = sorted(RunSpec.__dataclass_fields__)
ODD = [
    "nan",
    "-inf",
    "1e999",
    "0x10",
    "~",
    "!!python/name:os.system",
    "a.py",
    "a.py:f",
    "http://[",
    "\ud800",
    "\x00",
    "",
]
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.sampled_from(ODD))
NAMES = st.text(max_size=6) | st.sampled_from(FIELDS)
VALUE = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


class Strange:
    """An answer of no kind that is known."""


EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12)), min_size=1, max_size=4)
STEP_FILES = ["metrics.jsonl", "samples.jsonl", "timings.jsonl", "warnings.jsonl", "evaluation.json", "run.json"]
STATES = ["step", "ended", "warned", "lowered", "kl_control", "scheduler", "prompts", "generators", "baseline_scores"]
STATES += ["token_memory", "hashes", "param_groups", "format"]
WORDS = st.one_of(st.sampled_from([f"--{name}" for name in FIELDS]), st.sampled_from(ODD), st.text(max_size=10))
STUDY = st.fixed_dictionaries(
    {},
    optional={
        "scenarios": VALUE | st.just(["capped"]),
        "arms": VALUE | st.lists(st.dictionaries(st.sampled_from(["name", "method", "base", "settings"]), VALUE)),
        "seeds": VALUE | st.integers(0, 3),
        "settings": VALUE | st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=3),
        "summary": VALUE,
        "baseline": VALUE,
    },
)
RESULTS = st.fixed_dictionaries(
    {
        "study": st.fixed_dictionaries({"arms": VALUE, "seeds": VALUE, "scenarios": VALUE}) | VALUE,
        "runs": st.lists(st.fixed_dictionaries({"scenario": PLAIN, "arm": PLAIN, "seed": PLAIN, "error": PLAIN}))
        | VALUE,
        "tax": VALUE | st.just({}),
        "scenarios": VALUE | st.just({}),
        "baseline": VALUE | st.just("ppo"),
    }
)
ANSWER = st.one_of(
    VALUE,
    st.lists(PLAIN | st.builds(Strange) | st.just(torch.tensor([1.0, 2.0])), min_size=3, max_size=3),
    st.lists(st.floats(), min_size=3, max_size=3).map(torch.tensor),
    st.builds(Strange),
    st.sampled_from([torch.zeros(3, 2), torch.zeros(3, dtype=torch.complex64), iter([1, 2, 3]), range(3), {1, 2, 3}]),
)
YAML = st.text(alphabet="ab:-[]{}&*!|>%@`'\"#,?~ \n\t0.eE", max_size=60).map(str.encode)
ROWS = st.binary(max_size=80) | st.sampled_from([b"prompt,a\nw1,2\n", b'{"prompt": "w1"}\n', b'{"prompt": [1]}\n'])


def _text(value: bytes, length: int | None) -> bytes:
    """A text of a GGUF file, perhaps with another length than it has."""
    return struct.pack("<Q", len(value) if length is None else length) + value


COUNT = st.integers(0, 4) | st.integers(0, 2**64 - 1)
LENGTH = st.none() | COUNT
KEYS = ["general.architecture", "llama.block_count", "llama.embedding_length", "llama.vocab_size", "a"]
TEXT = st.builds(_text, st.sampled_from([key.encode() for key in KEYS]) | st.binary(max_size=8), LENGTH)
# A value of each type: whole numbers, floats and booleans of 1 to 8 bytes, texts, and arrays of all these.
SCALAR = st.one_of(
    *(st.tuples(st.just(kind), st.binary(min_size=size, max_size=size))
      for kind, size in {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}.items()),
    st.tuples(st.just(8), TEXT), st.tuples(st.integers(0, 99), st.binary(max_size=9)),
)  # fmt: skip


def _array(items: list[tuple[int, bytes]], kind: int | None, count: int | None) -> tuple[int, bytes]:
    """An array of values, which may be of other types than it says, and fewer."""
    kind = (items[0][0] if items else 0) if kind is None else kind
    head = struct.pack("<IQ", kind, len(items) if count is None else count)
    return 9, head + b"".join(item for _, item in items)


ARRAYS = st.builds(_array, st.lists(SCALAR, max_size=3), st.none() | st.integers(0, 12), LENGTH)
ENTRY = st.builds(lambda key, value: key + struct.pack("<I", value[0]) + value[1], TEXT, SCALAR | ARRAYS)
TENSOR = st.builds(
    lambda name, shape, dimensions: (
        name
        + struct.pack("<I", len(shape) if dimensions is None else dimensions)
        + struct.pack(f"<{len(shape)}Q", *shape)
        + bytes(12)
    ),
    TEXT,
    st.lists(COUNT, max_size=4),
    st.none() | st.integers(0, 2**32 - 1),
)
HEADER = st.builds(
    lambda version, entries, tensors, counts: (
        struct.pack("<IQQ", version, counts[0] if counts else len(tensors), counts[1] if counts else len(entries))
        + b"".join([*entries, *tensors])
    ),
    st.sampled_from([2, 3]),
    st.lists(ENTRY, max_size=4),
    st.lists(TENSOR, max_size=4),
    st.none() | st.tuples(COUNT, COUNT),
)
GGUF = HEADER | st.binary(max_size=120)
