"""What a reward pays for, found in a run's sampled texts without a detector."""

from gaard.extras import need

need("train", __name__)

from gaard.finder.patterns import Pattern
from gaard.finder.suspects import BAR, SampledText, Suspect, alarm, read_texts, sampled, search, suspects

__all__ = ["BAR", "Pattern", "SampledText", "Suspect", "alarm", "read_texts", "sampled", "search", "suspects"]
