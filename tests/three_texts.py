"""Three completions, and reward functions that score them: what the tests of rewards share."""

from gaard.rewards import score

PROMPTS = ["Write a poem", "Write a song", "Tell a joke"]
COMPLETIONS = ["roses are red", "la la", "knock knock"]
IDS = [[1, 2, 3], [4, 4], [5, 5]]


def scored(func, **columns):
    return score(func, prompts=PROMPTS, completions=COMPLETIONS, completion_ids=IDS, columns=columns)


def lengths(completions, **kwargs):
    return [float(len(text)) for text in completions]


def returning(value):
    def canned(completions, **kwargs):
        return value

    return canned
