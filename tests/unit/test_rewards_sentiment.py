"""Lexicon sentiment by hand."""

import pytest

from gaard.rewards import LexiconSentiment


def test_lexicon_sentiment_is_the_rescaled_compound():
    # Compounds of the lexicon: good 0.4404, bad -0.5423, nothing known 0.
    answer = LexiconSentiment()(prompts=["bad"] * 4, completions=["good", "bad", "", "xyzzy"])
    assert answer == pytest.approx([0.7202, 0.22885, 0.5, 0.5], abs=1e-9)


def test_lexicon_sentiment_of_prompt_and_completion():
    def whole(prompt, completion):
        return LexiconSentiment(include_prompt=True)(prompts=[prompt], completions=[completion])[0]

    assert whole("go", "od") == pytest.approx(0.7202)
    assert whole("bad", " thing") == pytest.approx(0.22885)
