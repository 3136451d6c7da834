"""Inputs for the readers in `fuzz/targets.py`: of the right form, nearly, and of none."""

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
