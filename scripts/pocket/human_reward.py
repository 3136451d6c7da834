"""Fit the human reward: ridge regression of mean ratings on hashed features, judged on held-out sentences."""

from collections import Counter
from pathlib import Path

import numpy as np
from ratings import Sentence
from safetensors.numpy import save_file
from scipy import sparse, stats
from scipy.sparse.linalg import lsqr
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from gaard.rewards.human import ASSET, BUCKETS, HumanReward, buckets, normalized

DAMPING = (0.25, 0.35, 0.5, 0.7, 1.0)
FOLDS = 5


def design(sentences: list[Sentence]) -> sparse.csr_matrix:
    """Features of each sentence, a row each."""
    rows, columns, values = [], [], []
    for row, sentence in enumerate(sentences):
        counts = Counter(buckets(sentence.text))
        rows += [row] * len(counts)
        columns += counts.keys()
        values += normalized(counts).tolist()
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(sentences), BUCKETS))


def solve(x: sparse.csr_matrix, y: np.ndarray, damping: float) -> np.ndarray:
    """Ridge weights."""
    return lsqr(x, y, damp=damping, iter_lim=400)[0]


def choose_damping(x: sparse.csr_matrix, y: np.ndarray) -> float:
    """By cross-validation on the training sentences alone."""
    fold = np.arange(len(y)) % FOLDS
    scores = {}
    for damping in DAMPING:
        predicted = np.zeros_like(y)
        for k in range(FOLDS):
            predicted[fold == k] = x[fold == k] @ solve(x[fold != k], y[fold != k], damping)
        scores[damping] = np.corrcoef(predicted, y)[0, 1]
    return max(scores, key=scores.__getitem__)


def pearson(x: list[float], y: list[float]) -> dict[str, float]:
    """Pearson's r with its 95% interval (Fisher's z)."""
    result = stats.pearsonr(x, y)
    interval = result.confidence_interval(0.95)
    return {"r": float(result.statistic), "low": float(interval.low), "high": float(interval.high), "n": len(x)}


def fit(training: list[Sentence], held_out: list[Sentence], assets: Path) -> dict[str, object]:
    """Fit, save as half-precision weights, and compare the saved model with the lexicon.

    Args:
        training: Sentences to learn from.
        held_out: Sentences to judge on; only those of movies count for the bar.
        assets: Where the weights go.

    Returns:
        Figures for the model card.
    """
    x, y = design(training), np.array([sentence.rating for sentence in training])
    damping = choose_damping(x, y - y.mean())
    weights = solve(x, y - y.mean(), damping)
    assets.mkdir(parents=True, exist_ok=True)
    save_file(
        {"weights": weights.astype(np.float16), "intercept": np.array([y.mean()], dtype=np.float32)}, assets / ASSET
    )
    movies = [sentence for sentence in held_out if sentence.source == "movie"]
    texts, ratings = [s.text for s in movies], [s.rating for s in movies]
    lexicon = SentimentIntensityAnalyzer()
    return {
        "damping": damping,
        "training_sentences": len(training),
        "human": pearson(HumanReward(asset=assets / ASSET).ratings(texts), ratings),
        "lexicon": pearson([lexicon.polarity_scores(text)["compound"] for text in texts], ratings),
    }
