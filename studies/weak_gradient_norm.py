"""Gradient norm at a fifth of the strength that tuning chose on the pocket model."""

from gaard.lab.arms import Arm

gradient_norm = Arm(
    "gradient-norm-0.01",
    "gradient-norm regularisation (arXiv 2602.18037), weaker",
    {"method": "ppo", "flatness": "gradient-norm", "flatness_coef": 0.01},
)
