"""What a user should hear of the first rollouts of a run."""

from gaard.methods import Method
from gaard.methods.experience import Rollout
from gaard.training.estimate import has_signal

SILENT_ROLLOUTS = 3  # after so many without a difference between rewards, or at its end, a run says so


def heard(rollout: Rollout, step: int, last: int, method: Method) -> tuple[bool, list[str]]:
    """What the method has to say of the first rollout whose rewards differ, or that there is none.

    Later, a policy that has learned writes one text again and again, and its rewards are one number for that.

    Args:
        rollout: Of this step; no earlier one had rewards that differ.
        step: Its number, from 1.
        last: The number of the run's last.
        method: What trains.

    Returns:
        Whether this rollout's rewards differ, so that nothing more will be said; and sentences.
    """
    scores = rollout.trained_scores
    if has_signal(scores):
        return True, method.warnings(rollout)
    if step != min(SILENT_ROLLOUTS, last):
        return False, []
    same = f"all rewards are the same, in this one {float(scores[0]):g}"
    return False, [
        f"in {f'each of the first {step} rollouts' if step > 1 else 'the first rollout'} {same}: nothing can be "
        "learned from them; check the reward, or the temperature"
    ]
