"""Classifier rewards against a loop that scores one text at a time, on tiny random models."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from gaard.errors import ConfigError, ModelError
from gaard.rewards import ClassifierReward, reward_from_name, score

WORDS = ["a", "good", "bad", "film", "was", "the", "plot", "and", "acting", "very", "fine", "dull", "long", "short"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
TEXTS = ["a good film", "", "the plot was very dull and the acting was bad", "fine", "a very very long film", "good"]


def tokenizer(*, pad="<pad>", framed=True, **kwargs):
    """One token a word; `framed` puts <s> and </s> around a text, as encoders do."""
    vocab = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    if framed:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": pad}
    return PreTrainedTokenizerFast(tokenizer_object=core, **named, **kwargs)


def enlarged(model):
    """Fresh weights are near zero; larger ones make every text's score its own, and an error visible."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.dim() > 1):
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def sizes(kind, **kwargs):
    layers = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return kind(vocab_size=len(SPECIAL + WORDS), **layers, **kwargs)


def bert(**kwargs):
    return enlarged(BertForSequenceClassification(sizes(BertConfig, max_position_embeddings=16, **kwargs)))


def gpt2(**kwargs):
    shape = {"vocab_size": len(SPECIAL + WORDS), "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return enlarged(GPT2ForSequenceClassification(GPT2Config(**shape, bos_token_id=1, eos_token_id=2, **kwargs)))


@torch.no_grad()
def naive(model, ids):
    """Logits of one text at a time: no padding, no mask."""
    rows = [model(input_ids=torch.tensor([row])).logits[0] for row in ids]
    return torch.stack(rows)


def call(reward, texts=TEXTS, prompts=None):
    return torch.tensor(reward(prompts=prompts or [""] * len(texts), completions=texts))


def close(actual, wanted):
    torch.testing.assert_close(actual, wanted, atol=1e-5, rtol=0)
    return True


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_an_encoder_scores_as_one_text_at_a_time(batch_size):
    model, words = bert(num_labels=3), tokenizer()
    logits = naive(model, [words(text)["input_ids"] for text in TEXTS])
    assert logits[:, 2].std() > 0.05
    close(call(ClassifierReward(model, words, batch_size=batch_size)), logits.softmax(-1)[:, 2])
    close(call(ClassifierReward(model, words, batch_size=batch_size, output="logit")), logits[:, 2])


@pytest.mark.parametrize("batch_size", [1, 2, 32])
@pytest.mark.parametrize("pad", ["<pad>", None])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_decoder_scores_as_one_text_at_a_time(batch_size, pad, side):
    words = tokenizer(pad=pad, framed=False, padding_side=side)
    # An empty text has no token at all; it is read as the start token.
    logits = naive(gpt2(num_labels=1), [words(text)["input_ids"] or [1] for text in TEXTS])
    assert logits.std() > 0.05
    close(call(ClassifierReward(gpt2(num_labels=1), words, batch_size=batch_size)), logits[:, 0])


def test_dropout_is_off_even_in_a_model_in_train_mode():
    model = bert(hidden_dropout_prob=0.5).train()
    reward = ClassifierReward(model, tokenizer())
    assert torch.equal(call(reward), call(reward))


def test_independent_labels_have_independent_probabilities():
    model, words = bert(num_labels=3, problem_type="multi_label_classification"), tokenizer()
    logits = naive(model, [words(text)["input_ids"] for text in TEXTS])
    close(call(ClassifierReward(model, words, label=1)), logits.sigmoid()[:, 1])


@pytest.mark.parametrize(
    ("labels", "label", "index"),
    [
        (["positive", "NEGATIVE", "other"], None, 0),
        (["NEGATIVE", "Positive", "other"], None, 1),
        (["bad", "good", "fine"], None, 2),
        (["bad", "good", "fine"], "GOOD", 1),
        (["bad", "good", "fine"], 0, 0),
    ],
)
def test_the_label_is_chosen(labels, label, index):
    model, words = bert(id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)}), tokenizer()
    logits = naive(model, [words(text)["input_ids"] for text in TEXTS])
    close(call(ClassifierReward(model, words, label=label)), logits.softmax(-1)[:, index])


@pytest.mark.parametrize("label", ["great", 3, -1, True, 1.0])
def test_a_label_that_is_not_there_lists_those_that_are(label):
    labels = {0: "bad", 1: "good", 2: "fine"}
    model = bert(id2label=labels, label2id={name: index for index, name in labels.items()})
    with pytest.raises(ConfigError) as caught:
        ClassifierReward(model, tokenizer(), label=label)
    assert f"label is {label!r}" in str(caught.value)
    assert "0: 'bad', 1: 'good', 2: 'fine'" in str(caught.value)


def test_long_texts_are_cut_to_what_the_model_reads():
    words, model = tokenizer(framed=False), gpt2(num_labels=1)
    texts = [" ".join(WORDS[index % 10] for index in range(start, start + 40)) for start in (0, 3)]
    ids = [words(text)["input_ids"] for text in texts]
    close(call(ClassifierReward(model, words), texts), naive(model, [row[:16] for row in ids])[:, 0])
    close(call(ClassifierReward(model, words, max_length=5), texts), naive(model, [row[:5] for row in ids])[:, 0])


def test_with_the_prompt_it_is_the_prompt_that_is_cut():
    words, model = tokenizer(framed=False), gpt2(num_labels=1)
    prompt, completion = "the plot and acting " * 10, "was very dull"
    ids = words(prompt + completion)["input_ids"]
    reward = ClassifierReward(model, words, include_prompt=True)
    close(call(reward, [completion], [prompt]), naive(model, [ids[-16:]])[:, 0])
    assert words.truncation_side == "right", "the caller's tokenizer was changed"


def test_the_positions_of_roberta_leave_room_for_its_padding():
    config = sizes(RobertaConfig, max_position_embeddings=16, pad_token_id=0, num_labels=1)
    model, words = enlarged(RobertaForSequenceClassification(config)), tokenizer()
    reward = ClassifierReward(model, words)
    assert reward.max_length == 15
    texts = ["fine " * 40, *TEXTS]
    ids = [words(text, truncation=True, max_length=15)["input_ids"] for text in texts]
    close(call(reward, texts), naive(model, ids)[:, 0])


def test_a_model_and_its_tokenizer_are_loaded_from_a_folder(tmp_path):
    folder = tmp_path / "judge"
    bert(num_labels=2).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    reward = reward_from_name(str(folder))
    assert reward.name == "judge"
    batch = {"prompts": [""] * len(TEXTS), "completions": TEXTS, "completion_ids": [[1]] * len(TEXTS)}
    close(score(reward, **batch, columns={}), call(ClassifierReward(bert(num_labels=2), tokenizer(), device="cpu")))


def test_a_checkpoint_without_a_trained_head_is_refused(tmp_path):
    shape = {"vocab_size": 18, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=1, eos_token_id=2)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lacks the weights score\.weight.*train a classification head first"):
        ClassifierReward(str(tmp_path))


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ModelError) as caught:
        ClassifierReward(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "Give the folder or Hugging Face id" in str(caught.value)
    bert().save_pretrained(tmp_path / "alone")
    with pytest.raises(ModelError, match=r"tokenizer of the reward model .*alone.*pass tokenizer="):
        ClassifierReward(str(tmp_path / "alone"))
    with pytest.raises(ModelError, match=r"does not say where it was loaded from.*pass tokenizer="):
        ClassifierReward(bert())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "logits"}, r"output is 'logits'.*Did you mean 'logit'"),
        ({"batch_size": 0}, r"batch_size is 0.*1 or more"),
        ({"max_length": 17}, r"max_length is 17 tokens: give 1 to 16"),
        ({"max_length": 0}, r"max_length is 0 tokens: give 1 to 16"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ClassifierReward(bert(), tokenizer(), **settings)
