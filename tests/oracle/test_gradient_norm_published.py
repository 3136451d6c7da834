"""Our gradient-norm penalty beside its authors' implementation, derived anew from what their code does.

JohannesAck/gradientregularization_trl, commit bb734e7, trl_gradientregularization/BaseTrainerGradregDeepSpeed.py,
without DeepSpeed: lines 301 to 361, and 227 to 238 for their clipping, 164 to 171 for what they leave out.
"""

import pytest
import torch

from gaard.regularizers import GradientNorm
from gaard.training.collect import Clock
from gaard.training.estimate import estimate
from tiny import tiny_lm, tiny_trainer

LEFT_OUT = ("embed", "embedding", "lm_head", "output", "classifier", "score")
STRENGTH, EPS, CLIP = 1e-2, 1e-3, 10.0  # of the README; the configuration's default strength is a tenth of it


def published(named, again) -> dict[str, torch.Tensor]:
    """The gradient that their optimizer gets, of parameters by name that have gradients; `again` adds to these."""
    first = shortened({name: p.grad.clone() for name, p in named.items()})
    inside = [name for name in named if not any(part in name for part in LEFT_OUT)]
    places = {name: p.detach().clone() for name, p in named.items()}
    with torch.no_grad():
        for name in inside:
            named[name].add_(EPS * first[name])
    for p in named.values():
        p.grad = None
    again()
    second = shortened({name: p.grad.clone() for name, p in named.items()})
    with torch.no_grad():
        for name, p in named.items():
            p.copy_(places[name])
    mixed = {name: first[name] + STRENGTH / EPS * (second[name] - first[name]) for name in inside}
    return second | mixed  # what is left out is stepped along the second gradient


def shortened(gradients):
    length = torch.stack([g.pow(2).sum() for g in gradients.values()]).sum().sqrt()
    return {name: g * min(1.0, float(CLIP / (length + 1e-6))) for name, g in gradients.items()}


@pytest.fixture
def gpt2(tmp_path):
    """A trainer and one minibatch: names as GPT-2 has them, none of which they leave out."""
    trainer = tiny_trainer(tmp_path, method="ppo", dtype=torch.float64, num_mini_batches=1)
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator)
    seen = estimate(trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes), trainer.args)
    named = dict(trainer.policy.lm.named_parameters())
    return named, list(trainer.policy.critic.parameters()), lambda: trainer._gradients(seen)


def both(named, critic, again, ours):
    """Their gradient, ours, and the plain one, each as one vector."""
    again()
    plain = {name: p.grad.clone() for name, p in named.items()}
    theirs = published(named, again)
    for name, p in named.items():
        p.grad = plain[name].clone()
    ours(plain).change_gradient(list(named.values()), critic, again)
    return tuple(torch.cat([x[name].flatten() for name in named]) for x in (theirs, grads(named), plain))


def grads(named):
    return {name: p.grad for name, p in named.items()}


def norm(gradients):
    return float(torch.cat([g.flatten() for g in gradients.values()]).norm())


def test_it_is_the_same_update_where_both_look_equally_far(gpt2):
    """They go ε·g up the loss, we a fixed way; with radius ε·‖g‖ the two are one."""
    theirs, ours, plain = both(*gpt2, lambda g: GradientNorm(coef=STRENGTH, radius=EPS * norm(g)))
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-12)
    assert float((ours - plain).norm() / plain.norm()) > 1e-3


@pytest.mark.parametrize(("radius", "alike"), [(1e-5, 0.999), (0.01, 0.95)])
def test_nearby_it_is_the_same_to_first_order(radius, alike, gpt2):
    """What either adds to the plain gradient; our own radius is 0.01, the most that theirs can be: 10 · 0.001."""
    theirs, ours, plain = both(*gpt2, lambda _: GradientNorm(coef=STRENGTH, radius=radius))
    extra, other = ours - plain, theirs - plain
    found = float(torch.nn.functional.cosine_similarity(extra, other, dim=0))
    assert alike < found < 1 - 1e-9
    assert float(extra.norm() / other.norm()) == pytest.approx(1.0, abs=0.1)


def test_they_leave_out_what_is_called_embedding_or_output():
    """Llama's names: they step these weights along the second gradient, we penalise them too. The rest agrees."""
    lm = tiny_lm("llama", dtype=torch.float64)
    ids = torch.tensor([[5, 9, 11, 4, 8]])
    named = {name: p for name, p in lm.named_parameters() if p.requires_grad}
    outside = {name for name in named if "embed" in name or "lm_head" in name}
    assert len(outside) == 2

    def again():
        (lm(ids, labels=ids).loss / 2).backward()  # halved: no gradient is clipped

    def ours(own, plain):
        for name, p in named.items():
            p.grad = plain[name].clone() if name in own else None
        radius = EPS * norm({name: plain[name] for name in own})
        GradientNorm(coef=STRENGTH, radius=radius).change_gradient([named[name] for name in own], [], again)
        return {name: g.clone() for name, g in grads(named).items()}

    again()
    plain = {name: p.grad.clone() for name, p in named.items()}
    theirs = published(named, again)
    without, whole = ours([name for name in named if name not in outside], plain), ours(list(named), plain)
    for name in named:  # what we leave out has the second gradient
        torch.testing.assert_close(without[name], theirs[name], rtol=1e-7, atol=1e-12)
    for name in outside:
        assert not torch.allclose(theirs[name], whole[name], rtol=1e-6)
    for name in ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"):
        assert float((whole[name] - plain[name]).norm() / plain[name].norm()) > 1e-3
