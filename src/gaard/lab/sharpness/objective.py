"""Which runs train on the clipped surrogate and a fixed share of the exact KL, and on nothing else."""

from collections.abc import Iterator

from gaard.errors import ConfigError
from gaard.methods.base import Method
from gaard.training.config import GAAConfig


def check_objective(config: GAAConfig) -> None:
    """Refuse a run whose loss has terms that the function ``objective`` lacks.

    Args:
        config: Of the run.

    Raises:
        ConfigError: Naming those terms.
    """
    if others := list(other_terms(config)):
        raise ConfigError(
            "--functions objective is the clipped surrogate + kl_coef · exact KL to the untrained model, and this run "
            f"trains on another: it has {', '.join(others)}: take reward or kl"
        )


def other_terms(config: GAAConfig) -> Iterator[str]:
    """What makes a run's loss another than clipped surrogate + ``kl_coef`` · exact KL to the untrained model.

    Args:
        config: Of the run.

    Yields:
        Each, as its settings name it.
    """
    if type(config.method).coefficients is not Method.coefficients:
        yield f"method={config.method.name!r} with a second term"
    if config.entropy_coef > 0:
        yield f"entropy_coef={config.entropy_coef:g}"
    if config.kl_coef > 0 and config.kl_estimator != "exact":
        yield f"kl_estimator={config.kl_estimator!r}"
    for one in config.regularizers:
        for has, what in (
            (one.controls_kl, "which controls kl_coef"),
            (one.penalizes, "which adds a penalty"),
            (one.moves_reference, "which moves the reference"),
            (one.leaves_out, "which may leave completions out"),
            (one.second_gradient, "which takes the gradient elsewhere"),
        ):
            if has:
                yield f"regularizer {one.name!r}, {what}"
