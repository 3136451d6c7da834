"""What settings and arguments of TRL's trainers are here, for who brings a script of GRPO, RLOO or PPO."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

from gaard.errors import ConfigError, did_you_mean

P = ParamSpec("P")

LOADED = "load the model as you like and give it to the trainer, with processing_class=tokenizer"
NO_VLLM = "not there: gaard samples by itself"
NOT_SHARED = "not there: several processes share the data, not the model (docs/size.md)"
NO_SAMPLING = "not there: texts are sampled from the model's whole distribution, at `temperature`"
NO_LOSS = "not there: the loss is PPO's, token by token, and `method` names the safeguard"
ON_HUB = "here of the trainer: trainer.push_to_hub(repo_id) after training; and an option of gaard train"
NO_HUB = "not there: save_model writes a folder, which can be uploaded"
ON_THE_WAY = "here `eval_steps`; at the end `eval_completions` are measured in any case"
NO_TOOLS = "not there: a completion is one text of the model's, in which nothing is called"
NO_SUCH = "not there"

# Settings of TRL's, those of transformers' TrainingArguments among them → what they are here. One with a * stands for
# all that begin so. A test holds the names of gaard's fields in it to the fields there are, and docs/from-trl.md to it.
SETTINGS: dict[tuple[str, ...], str] = {
    ("beta",): "here `kl_coef`, 0.1 by default where TRL's GRPO has 0",
    ("num_generations",): "here an option of `advantages`, such as {name: grpo, num_generations: 8}",
    ("num_generations_eval",): "not needed here: `eval_completions` is how many completions are measured at the end",
    ("generation_batch_size",): "here `batch_size`, the completions of a rollout over all processes",
    ("steps_per_generation",): "not needed here: `num_mini_batches` is how many updates a pass over a rollout takes",
    ("gradient_accumulation_steps",): "not needed here: an update takes `batch_size` / `num_mini_batches` completions "
    "over all processes, and `per_device_train_batch_size` says how many go through at once",
    ("num_iterations",): "here `num_ppo_epochs`",
    ("num_train_epochs",): "here `max_steps`, counted in rollouts",
    ("total_episodes",): "here `max_steps` times `batch_size`",
    ("epsilon",): "here `cliprange`",
    ("epsilon_high", "delta"): "not there: `cliprange` holds both ways",
    ("scale_rewards",): "here by `advantages`: grpo for group, dr_grpo for none, dr_grpo with `normalize_rewards` for "
    "batch",
    ("whiten_rewards",): "here `normalize_rewards`, over the whole rollout",
    ("normalize_advantages",): "here `whiten_advantages`",
    ("reward_clip_range",): "here `reward_clip`, one number for both ways, after rewards are standardised",
    ("reward_weights",): "here an argument of the trainer: GAATrainer(…, reward_weights=[…])",
    ("gamma", "lam", "vf_coef", "cliprange_value"): "here an option of `advantages`, such as {name: gae, lam: 0.95}",
    ("loss_type", "importance_sampling_level", "multi_objective_aggregation", "sapo_*", "vespo_*"): NO_LOSS,
    ("off_policy_mask_threshold", "use_bias_correction_kl", "top_entropy_quantile"): NO_LOSS,
    ("use_adaptive_entropy", "entropy_target", "entropy_coef_*"): "not there: `entropy_coef` is one number",
    ("sync_ref_model", "ref_model_*"): "here `regularizers` with reference-resets, whose steps say how often",
    ("response_length",): "here `max_completion_length`",
    ("max_prompt_length",): "not there: prompts are never cut; a prompt that is too long is refused",
    ("top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs", "cache_implementation"): NO_SAMPLING,
    ("mask_truncated_completions",): "not there: a completion that is cut off trains as any other; `gaard check` says "
    "how many are",
    ("missing_eos_penalty",): "not there: put it into the reward function, which sees completion_ids",
    ("stop_token", "stop_token_id"): "not needed here: a completion ends at the model's end-of-sequence token",
    ("use_vllm", "vllm_*", "use_transformers_*", "transformers_continuous_batching_config"): NO_VLLM,
    ("deepspeed", "fsdp", "fsdp_config", "parallelism_config", "ds3_gather_for_generation"): NOT_SHARED,
    ("model_init_kwargs", "trust_remote_code"): f"not there: {LOADED}",
    ("gradient_checkpointing_kwargs", "activation_checkpointing*"): "here `gradient_checkpointing`, of every layer",
    ("fp16", "tf32", "bf16_full_eval", "fp16_full_eval"): "not there: `bf16` is the only other precision than float32",
    ("disable_dropout",): "not needed here: dropout is always off",
    ("optim", "optim_*", "adam_beta1", "adam_beta2"): "not there: AdamW trains, with its own 0.9 and 0.999",
    ("warmup_ratio",): "here `warmup_steps`",
    ("lr_scheduler_kwargs",): "not there: `lr_scheduler_type` is linear, cosine or constant",
    ("torch_compile", "torch_compile_*", "torch_empty_cache_steps"): NO_SUCH,
    ("use_liger_kernel", "liger_kernel_config"): NO_SUCH,
    ("cast_lm_head_to_fp32", "router_aux_loss_coef", "neftune_noise_alpha", "label_smoothing_factor"): NO_SUCH,
    ("chat_template_kwargs", "pad_to_multiple_of", "max_tool_calling_iterations"): NO_SUCH,
    ("auto_find_batch_size", "dataloader_*", "ddp_*", "local_rank", "accelerator_config"): NO_SUCH,
    ("local_rollout_forward_batch_size",): "not there: `per_device_train_batch_size` bounds the memory of learning",
    ("shuffle_dataset",): "not needed here: prompts always come in random order",
    ("remove_unused_columns",): "not needed here: rewards are given every column",
    ("logging_steps", "logging_strategy", "logging_first_step"): "not needed here: every step is logged",
    ("num_completions_to_print",): "here `log_completions`",
    ("log_completions_steps", "log_unique_prompts"): "not needed here: `log_completions` of every step are kept",
    ("push_to_hub", "hub_model_id", "hub_private_repo"): ON_HUB,
    ("hub_token",): "here of the trainer: trainer.push_to_hub(repo_id, token=…)",
    ("log_completions_hub_repo", "hub_*"): NO_HUB,
    ("logging_dir", "run_name"): "here `output_dir`",
    ("log_multimodal", "log_level", "project", "trackio_*"): NO_SUCH,
    ("eval_strategy", "eval_on_start", "eval_delay", "do_eval", "num_sample_generations"): ON_THE_WAY,
    ("per_device_eval_batch_size",): "not needed here: measures are taken in batches of `batch_size`",
    ("save_strategy",): "here `save_steps`",
    ("load_best_model_at_end", "metric_for_best_model", "greater_is_better"): "not there: the last model is kept",
    ("resume_from_checkpoint", "do_train"): "not needed here: the same call goes on with a run that is there",
    ("overwrite_output_dir",): "here `overwrite`",
    ("data_seed", "full_determinism"): "not needed here: `seed` is of every random draw",
    ("disable_tqdm",): "here `progress`",
    ("no_cuda",): "here `use_cpu`",
}
# Arguments of TRL's trainers.
ARGUMENTS = {
    "optimizers": "not there: AdamW trains; the settings have `learning_rate`, `weight_decay` and the like",
    "ref_model": "not needed here: gaard keeps a frozen copy, or switches the adapter off",
    "reward_model": "here reward_funcs=ClassifierReward(…), of gaard.rewards",
    "value_model": "not needed here: gaard puts a value head on the policy",
    "data_collator": "not needed here: the dataset holds texts, or rows with a prompt",
    "tokenizer": "here processing_class",
    "reward_processing_classes": "not needed here: a reward by name brings its own tokenizer",
    "quantization_config": f"not there: {LOADED}",
    "tools": NO_TOOLS,
    "rollout_func": NO_VLLM,
    "environment_factory": NO_TOOLS,
}
NAMES = {name: answer for names, answer in SETTINGS.items() for name in names}


def told_of_trl(name: object) -> str:
    """What a setting of TRL's is here.

    Args:
        name: As it was given.

    Returns:
        A sentence for an error message; empty for a name that is not TRL's.
    """
    whole = str(name)
    start = next((key for key in NAMES if key.endswith("*") and whole.startswith(key[:-1])), "")
    answer = NAMES.get(whole) or NAMES.get(start)
    return f"{name!r} is TRL's, {answer} (docs/from-trl.md)" if answer else ""


def refusing_others(begin: "Callable[Concatenate[Any, P], None]") -> "Callable[Concatenate[Any, P], None]":
    """A trainer's ``__init__`` that refuses unknown arguments in words that help.

    Args:
        begin: The ``__init__``.

    Returns:
        The same, with its signature; it raises a :class:`~gaard.errors.ConfigError` that names the first, and what was
        probably meant.
    """
    known = list(inspect.signature(begin).parameters)[1:]

    @functools.wraps(begin)
    def checked(self: Any, *args: P.args, **given: P.kwargs) -> None:
        for name in given:
            if name not in known:
                raise ConfigError(f"{type(self).__name__}({name}=…): there is no such argument: {_meant(name, known)}")
        begin(self, *args, **given)

    return checked


def _meant(name: str, known: list[str]) -> str:
    """What an argument that is not known is here."""
    if name in ARGUMENTS:
        return f"{name!r} is TRL's, {ARGUMENTS[name]} (docs/from-trl.md)"
    return did_you_mean(name, known).strip() or f"there are {', '.join(known)}; settings go into args=GAAConfig(…)"
