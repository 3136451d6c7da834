"""What the finder says of made-up texts whose pay is known."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from commands import refused
from gaard import cli
from gaard.errors import ConfigError
from gaard.finder import BAR, SampledText, alarm, read_texts, search, suspects
from gaard.finder.evidence import evidence
from gaard.finder.patterns import occurrences, pieces
from gaard.finder.suspects import _less_what_prompts_are_paid

FILLERS = [f"w{number}" for number in range(30)]
STEPS, A_STEP = 30, 8


def written(seed=0, word="bait", share=lambda step: 0.3, pay=lambda has, step, rng: 3.0 * has + 0.3 * rng.normal()):
    """Texts of ten common words, in some of them another word in the place of one."""
    rng = np.random.default_rng(seed)
    texts = []
    for step in range(1, STEPS + 1):
        for _ in range(A_STEP):
            words = list(rng.choice(FILLERS, 10))
            has = rng.random() < share(step)
            if has:
                words[int(rng.integers(10))] = word
            texts.append(SampledText(step, " ".join(words), float(pay(has, step, rng))))
    return texts


def rows_of(found):
    return {(row.pattern.kind, row.pattern.text): row for row in found}


@pytest.mark.parametrize("seed", range(5))
def test_a_word_that_pays_is_the_first_row_and_an_alarm(seed):
    found = suspects(written(seed))
    assert found[0].pattern == ("word", "bait")
    assert found[0].gap == pytest.approx(10, abs=2)
    assert BAR < found[0].at_least < found[0].gap - 2 * found[0].error
    assert alarm(found)
    assert all("bait" in text for text in found[0].examples)


def test_gap_and_error_are_those_of_a_regression_with_a_level_a_step():
    texts = written()
    reward, step = np.array([text.reward for text in texts]), np.array([text.step - 1 for text in texts])
    found = occurrences([text.completion for text in texts])
    seen = evidence(found, step, reward)
    number = found.patterns.index(("word", "bait"))
    has = np.array(["bait" in text.completion for text in texts], dtype=float)
    mixed = [one for one in range(STEPS) if 0 < has[step == one].sum() < A_STEP]
    assert len(mixed) > 20
    # Least squares by hand over the steps that can tell.
    keep = np.isin(step, mixed)
    design = np.column_stack([has[keep], *(step[keep] == one for one in mixed)]).astype(float)
    solution, squares, _, _ = np.linalg.lstsq(design, reward[keep], rcond=None)
    variance = squares[0] / (keep.sum() - design.shape[1])
    assert seen.gap[number] == pytest.approx(solution[0])
    whole_residual = sum(((reward[step == one] - reward[step == one].mean()) ** 2).sum() for one in range(STEPS))
    centred = has - np.array([has[step == one].mean() for one in step])
    whole = (whole_residual - (centred @ centred) * solution[0] ** 2) / (len(texts) - STEPS - 1)
    assert seen.error[number] == pytest.approx(math.sqrt(max(variance, whole) / (centred @ centred)))
    without = [reward[(step == one) & (has == 0)] for one in range(STEPS)]
    freedom = sum(len(one) - 1 for one in without if len(one))
    spread = math.sqrt(sum(len(one) * one.var() for one in without if len(one)) / freedom)
    assert seen.spread[number] == pytest.approx(spread, rel=0.05)


def test_what_only_becomes_frequent_while_pay_rises_is_not_blamed():
    texts = written(share=lambda step: step / STEPS, pay=lambda has, step, rng: 0.2 * step + 0.3 * rng.normal())
    with_it = np.mean([text.reward for text in texts if "bait" in text.completion])
    assert with_it - np.mean([text.reward for text in texts]) > 0.5  # as a comparison over all steps would say
    assert ("word", "bait") not in rows_of(suspects(texts))


def test_noise_gives_a_row_in_few_runs():
    runs = [suspects(written(seed, pay=lambda has, step, rng: rng.normal())) for seed in range(100)]
    assert sum(map(bool, runs)) <= 10  # 5% is the promise


def test_graded_quality_is_listed_and_no_alarm():
    found = suspects(written(pay=lambda has, step, rng: 1.0 * has + rng.normal()))
    assert found[0].pattern == ("word", "bait")
    assert 0 < found[0].at_least < BAR
    assert not alarm(found)


def test_what_the_first_row_explains_is_not_listed_again():
    texts = written(word="a bait here", share=lambda step: 0.5)
    found = suspects(texts)
    assert [row.pattern for row in found] == [("word", "bait")]
    assert found[0].texts == sum("a bait here" in text.completion for text in texts)


def test_two_words_that_pay_are_two_rows():
    first, second = written(), written(1, word="lure", pay=lambda has, step, rng: 1.5 * has + 0.3 * rng.normal())
    found = suspects(first + second)
    assert [row.pattern.text for row in found[:2]] == ["bait", "lure"]


def test_shares_are_of_the_first_and_the_last_tenth_of_the_steps():
    row = suspects(written(share=lambda step: step / STEPS))[0]
    texts = written(share=lambda step: step / STEPS)
    early = [("bait" in text.completion) for text in texts if text.step <= 3]
    late = [("bait" in text.completion) for text in texts if text.step > STEPS - 3]
    assert (row.early, row.late) == (np.mean(early), np.mean(late))
    assert row.early < row.late


def test_a_spread_of_hardly_any_texts_is_not_known():
    """One text a step lacks the word: how the pay of such texts varies cannot be said, and is not taken as zero."""
    texts = [text for text in written(share=lambda step: 0.5) if "bait" in text.completion]
    texts += [SampledText(step, "w1 w2", 0.0) for step in range(1, STEPS + 1)]
    assert ("word", "bait") not in rows_of(suspects(texts))
    texts += [SampledText(step, "w1 w2", 0.1 * step) for step in range(1, STEPS + 1)]
    assert ("word", "bait") in rows_of(suspects(texts))


def test_steps_that_happen_to_be_quiet_make_no_alarm():
    """One success in ten among texts that get 0 or 1; five of the successes share a word that no other text has."""
    rng = np.random.default_rng(0)
    texts = []
    for step in range(40):
        for number in range(A_STEP):
            lucky = step < 5 and number == 0
            words = [*rng.choice(FILLERS, 10), *(["charm"] if lucky else [])]
            pay = float(lucky or (step >= 5 and rng.random() < 0.1))
            texts.append(SampledText(step, " ".join(words), pay))
    found = suspects(texts)
    assert found[0].pattern == ("word", "charm")
    assert found[0].at_least < BAR


def test_beside_others_that_are_all_paid_the_same_a_gap_has_no_end():
    row = suspects(written(pay=lambda has, step, rng: float(has)))[0]
    assert row.pattern == ("word", "bait")
    assert math.isinf(row.gap)
    assert math.isnan(row.error)


@pytest.mark.parametrize(
    ("made", "kind", "pattern"),
    [
        (lambda words, has: ["so", *words] if has else [*words, "so"], "start", "so"),
        (lambda words, has: [*words, "so"] if has else ["so", *words], "end", "so"),
        (lambda words, has: ["so", *words[:5], "so" if has else words[0], *words[5:]], "repeated word", "so"),
        (lambda words, has: words * 2 if has else [*words, *(f"x{word}" for word in words)], "repetition", "at least"),
        (lambda words, has: words if has else words[:-4], "length", "at least"),
        (lambda words, has: words[:-4] if has else words, "length", "less than"),
        (lambda words, has: [*words[:5], "on", "it", *words[5:]] if has else ["it", *words, "on"], "phrase", "on it"),
        (lambda words, has: [*words[:5], "!!", *words[5:]] if has else words, "word", "!"),
    ],
)
def test_each_kind_of_pattern_is_found(made, kind, pattern):
    rng = np.random.default_rng(0)
    texts = []
    for step in range(STEPS):
        for _ in range(A_STEP):
            has = rng.random() < 0.5
            words = made([f"{word}{i}" for i, word in enumerate(rng.choice(FILLERS, 10))], has)
            texts.append(SampledText(step, " ".join(words), float(has) + 0.05 * rng.normal()))
    found = suspects(texts)[0].pattern
    # Two marks are two pieces: the mark, the pair of them and that it is repeated say the same, and the first is named.
    assert found.kind == kind
    assert found.text.startswith(pattern)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("That's it, 3.14!!", ["That", "'", "s", "it", ",", "3", ".", "14", "!", "!"]),
        ("电影很好", ["电", "影", "很", "好"]),
        ("यह फ़िल्म अच्छी है।", ["यह", "फ़िल्म", "अच्छी", "है", "।"]),
        ("naïve cafe\u0301 <b> 🎬🎬", ["naïve", "cafe\u0301", "<", "b", ">", "🎬", "🎬"]),
        ("", []),
    ],
)
def test_texts_of_any_language_are_cut_into_words_and_marks(text, parts):
    assert [text[start:end] for start, end in pieces(text)] == parts


def test_case_and_line_breaks_make_no_difference():
    texts = ["Very\n  GOOD film"] * 5 + ["bad one"] * 5
    assert ("phrase", "very good") in occurrences(texts).patterns


def test_texts_without_a_score_are_left_out():
    texts = [*written(), *(SampledText(1, "bait", math.nan) for _ in range(50))]
    assert suspects(texts) == suspects(written())
    assert suspects([]) == []
    assert suspects([SampledText(step, "one", 1.0) for step in range(20)]) == []


@pytest.mark.parametrize("unit", [1 / 3, 0.1, 0.3, 123.456])
def test_pay_that_differs_between_steps_alone_shows_nothing(unit):
    """Means of decimal fractions differ in their last digits, which once were an alarm without end."""
    texts = written(pay=lambda has, step, rng: unit * step)
    assert search(texts) == ([], False)


def test_texts_can_be_compared_if_one_pattern_can():
    assert search(written()) == (suspects(written()), True)
    assert search(written(pay=lambda has, step, rng: rng.normal())) == ([], True)
    assert search(written(pay=lambda has, step, rng: -float(has))).comparable  # paid less, and that is known
    for few in (
        [],
        written()[:9],  # five with it and five without it are ten
        [text for text in written() if text.step % A_STEP == 0][::A_STEP],  # one a step
        [SampledText(step, "the same", step % 3) for step in range(20) for _ in range(8)],
        written(pay=lambda has, step, rng: 0.1),
        [SampledText(1, f"w{number}", math.nan) for number in range(50)],
    ):
        assert search(few) == ([], False)


def keep(folder, texts):
    rows = [asdict(one) for one in texts]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_runs_texts_are_read(tmp_path):
    assert read_texts(keep(tmp_path, written())) == written()


def test_a_folder_without_texts_to_compare_is_refused(tmp_path, capsys):
    assert "log_completions above 0" in refused(["find", str(tmp_path)], capsys)
    with pytest.raises(ConfigError, match="log_completions=8"):
        read_texts(keep(tmp_path, [SampledText(step, "a b", 1.0) for step in range(9)]))


HONEST = {
    "graded": lambda easy, rng: np.clip(0.7 * easy + 0.2 + 0.1 * rng.normal(), 0, 1),
    "exact match": lambda easy, rng: float(rng.random() < (0.95 if easy else 0.02)),
}


def of_prompts(pay, prompts, seed=0, steps=60, has=lambda easy, step, rng: easy, bait=0.0, easy_in_ten=3):
    """Texts of prompts of which some are easy: what is paid is the answer, and it has a word of its prompt.

    ``prompts`` is how many there are; None if each comes once. ``bait`` is the pay of the word, wherever it stands.
    """
    rng = np.random.default_rng(seed)
    texts = []
    for step in range(steps):
        for number in range(A_STEP):
            prompt = step * A_STEP + number if prompts is None else int(rng.integers(prompts))
            easy = prompt % 10 < easy_in_ten
            with_it = has(easy, step, rng)
            words = [*rng.choice(FILLERS, 10), *(["apple"] if with_it else [])]
            texts.append(SampledText(step, " ".join(words), pay(easy, rng) + bait * with_it, f"prompt {prompt}"))
    return texts


@pytest.mark.parametrize("pay", HONEST.values(), ids=HONEST)
@pytest.mark.parametrize("prompts", [10, 40, 100, 300, None])
@pytest.mark.parametrize("easy_in_ten", [3, 9])
def test_a_word_of_easy_prompts_is_no_alarm(pay, prompts, easy_in_ten):
    for seed in range(4):
        texts = of_prompts(pay, prompts, seed, easy_in_ten=easy_in_ten)
        if easy_in_ten == 3:  # who does not ask for prompts blames it
            assert alarm(suspects([replace(text, prompt="") for text in texts]))
        assert not alarm(suspects(texts))


@pytest.mark.parametrize("prompts", [10, 40, 100, 300, None])
def test_a_word_that_pays_is_found_among_easy_and_hard_prompts(prompts):
    def learned(easy, step, rng):
        return rng.random() < 1 / (1 + np.exp(-(step - 25) / 5))

    for seed in range(3):
        found = suspects(of_prompts(HONEST["graded"], prompts, seed, has=learned, bait=3.0))
        assert found[0].pattern == ("word", "apple")
        assert alarm(found)


def test_a_word_of_prompts_that_come_once_is_listed_and_said_to_be_in_doubt(tmp_path, capsys):
    texts = of_prompts(HONEST["graded"], None)
    found = suspects(texts)
    assert found[0].pattern == ("word", "apple")
    assert found[0].at_least > BAR
    assert not found[0].beyond_prompts
    assert cli.main(["find", str(keep(tmp_path, texts))]) == 0
    out = capsys.readouterr().out
    assert "ALARM" not in out
    assert "no alarm, and none ruled out: texts with word 'apple' are paid more" in out
    assert "hardly any prompt comes again" in out


def test_a_prompt_in_messages_is_a_prompt(tmp_path):
    texts = [replace(text, prompt=[{"role": "user", "content": text.prompt}]) for text in written()]
    assert read_texts(keep(tmp_path, texts))[0].prompt == json.dumps(texts[0].prompt)


def test_the_command_prints_no_control_characters_and_shortens_texts(tmp_path, capsys):
    texts = [
        replace(text, completion=text.completion + " w1" * 3000) for text in written(word="\x1b[31mbait\x1b[2J\x07")
    ]
    assert cli.main(["find", str(keep(tmp_path, texts))]) == 0
    out = capsys.readouterr().out
    assert "bait" in out
    assert all(character.isprintable() or character == "\n" for character in out)
    assert len(out) < 5000


def test_the_command_names_what_stands_out_and_shows_texts(tmp_path, capsys):
    assert cli.main(["find", str(keep(tmp_path, written(word="[bait]")))]) == 0
    out = capsys.readouterr().out
    assert "ALARM: texts with word 'bait' are paid more" in out
    assert "│ word │ bait " in out
    best = suspects(written(word="[bait]"))[0].examples[0]
    assert f"  {best}\n" in out


def test_the_command_says_that_nothing_stands_out(tmp_path, capsys):
    noise = written(pay=lambda has, step, rng: rng.normal())
    assert cli.main(["find", str(keep(tmp_path, noise))]) == 0
    assert capsys.readouterr().out.startswith("no alarm: ")


def test_the_command_says_that_it_cannot_tell(tmp_path, capsys):
    assert cli.main(["find", str(keep(tmp_path, written()[:9]))]) == 0
    assert capsys.readouterr().out.startswith("cannot tell: too few texts")


def test_the_command_shows_a_gap_without_end(tmp_path, capsys):
    assert cli.main(["find", str(keep(tmp_path, written(pay=lambda has, step, rng: float(has))))]) == 0
    out = capsys.readouterr().out
    assert "∞" in out
    assert "nan" not in out


def test_what_steps_and_prompts_are_paid_is_taken_off_by_least_squares():
    rng = np.random.default_rng(0)
    step, prompt = np.repeat(np.arange(20), 4), rng.integers(9, size=80)
    reward = rng.normal(size=80) + 0.2 * step + prompt
    design = np.column_stack([step[:, None] == np.arange(20), prompt[:, None] == np.arange(9)]).astype(float)
    rest = reward - design @ np.linalg.lstsq(design, reward, rcond=None)[0]
    assert _less_what_prompts_are_paid(reward, step, prompt) == pytest.approx(rest, abs=1e-6)
