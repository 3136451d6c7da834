"""Prompts that are conversations: rendered by the chat template, and given to rewards as TRL gives them."""

import pytest

from gaard import GAAConfig, GAATrainer
from gaard.errors import ConfigError
from gaard.rewards import honeypot
from gaard.training.prompts import PromptStream
from tiny import WORDS, chat_tokenizer, tiny_lm, word_tokenizer

TEMPLATE = (
    "<s>{% for m in messages %} {{ m.role }} {{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %} assistant{% endif %}"
)
ASKED = [{"role": "user", "content": "w1 w2"}]
BEGUN = [*ASKED, {"role": "assistant", "content": "w3"}]


def trainer(tmp_path, reward, prompts=(ASKED,), **options):
    rows = [{"prompt": prompt, "answer": i} for i, prompt in enumerate(prompts)]
    settings = {"max_steps": 1, "batch_size": 4, "num_mini_batches": 1, "max_completion_length": 4, "progress": False}
    args = GAAConfig(output_dir=str(tmp_path), use_cpu=True, **settings)
    return GAATrainer(tiny_lm(vocab_size=39), reward, args, rows, processing_class=chat_tokenizer(TEMPLATE), **options)


def test_the_template_renders_up_to_where_the_assistant_speaks_or_goes_on():
    tokenizer = chat_tokenizer(TEMPLATE)
    stream = PromptStream([{"prompt": ASKED}, {"prompt": BEGUN}], tokenizer)
    assert stream.texts == ["<s> user w1 w2 assistant", "<s> user w1 w2 assistant w3"]
    assert [ids.count(tokenizer.bos_token_id) for ids in stream.ids] == [1, 1]


def test_a_function_of_trls_gets_messages_and_gaards_own_get_text(tmp_path):
    """Both in one run, one of them inside a honeypot; the answers are of the same texts."""
    seen = []

    def as_in_trl(prompts, completions, answer, **kwargs):
        seen.append((prompts, completions, answer))
        return [float(len(completion[0]["content"])) for completion in completions]

    made = trainer(tmp_path, [honeypot(as_in_trl, word="w5"), as_in_trl])
    made.train()
    texts = [row["completion"] for row in made.run.log.read("samples.jsonl")]
    assert len(seen) >= 2
    for prompts, completions, answer in seen[:2]:
        assert prompts == [ASKED] * 4
        assert completions == [[{"role": "assistant", "content": text}] for text in texts[:4]]
        assert answer == [0] * 4


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ([ASKED, "w1"], r"train_dataset\[1\]\['prompt'\] is no conversation, and others are"),
        ([[]], r"train_dataset\[0\]\['prompt'\]=\[\] must be a list of messages"),
        ([[{"role": "user"}]], "each with 'role' and 'content'"),
    ],
)
def test_what_is_no_conversation_is_refused(prompts, words):
    with pytest.raises(ConfigError, match=words):
        PromptStream([{"prompt": prompt} for prompt in prompts], chat_tokenizer(TEMPLATE))


def test_a_template_that_refuses_and_a_model_without_one_are_named():
    tokenizer = chat_tokenizer(TEMPLATE)
    tokenizer.chat_template = "{{ raise_exception('no system') }}"
    with pytest.raises(ConfigError, match=r"train_dataset\[0\]\['prompt'\]: the chat template refuses it: no system"):
        PromptStream([{"prompt": ASKED}], tokenizer)
    with pytest.raises(ConfigError, match="the tokenizer has no chat template: take a chat model"):
        PromptStream([{"prompt": ASKED}], word_tokenizer(WORDS))


def test_an_adapter_is_added_by_its_configuration_and_alone_trains(tmp_path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    made = trainer(tmp_path, lambda completions, **_: [1.0] * len(completions), peft_config=config)
    learning = [name for name, x in made.policy.lm.named_parameters() if x.requires_grad]
    assert learning
    assert all("lora" in name for name in learning)
    with pytest.raises(ConfigError, match=r"peft_config=LoraConfig\(…\): NoMatchingPeftModuleError: Target modules"):
        trainer(tmp_path / "b", lambda **_: [], peft_config=peft.LoraConfig(target_modules=["nowhere"]))
