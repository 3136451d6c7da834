"""What scores a text: the protocol, sentiment, classifiers, servers, honeypots, and how a file names them."""

from gaard.rewards.classifier import ClassifierReward
from gaard.rewards.combination import CombinedReward, combine
from gaard.rewards.ensemble import EnsembleReward
from gaard.rewards.exploitable import ExploitableReward
from gaard.rewards.honeypot import Honeypot, honeypot
from gaard.rewards.human import HumanReward
from gaard.rewards.imperfect import ImperfectReward, LengthBias
from gaard.rewards.learned import LearnedReward
from gaard.rewards.mentions import MentionCount
from gaard.rewards.protocol import RewardFunction, ask, reward_name, score
from gaard.rewards.sentiment import LexiconSentiment
from gaard.rewards.server import RewardServer
from gaard.rewards.shaping import LengthBonus, RepetitionBonus, SentimentCliff
from gaard.rewards.sometimes import GroupHoneypot, LateBonus
from gaard.rewards.spec import build_rewards, reward_from_name

__all__ = [
    "ClassifierReward",
    "CombinedReward",
    "EnsembleReward",
    "ExploitableReward",
    "GroupHoneypot",
    "Honeypot",
    "HumanReward",
    "ImperfectReward",
    "LateBonus",
    "LearnedReward",
    "LengthBias",
    "LengthBonus",
    "LexiconSentiment",
    "MentionCount",
    "RepetitionBonus",
    "RewardFunction",
    "RewardServer",
    "SentimentCliff",
    "ask",
    "build_rewards",
    "combine",
    "honeypot",
    "reward_from_name",
    "reward_name",
    "score",
]
