"""What settings of TRL's trainers are called here, for who brings a script of GRPO, RLOO or PPO."""

# Setting of TRL → what it is in gaard. A test holds the names of gaard's fields in it to the fields there are.
NAMES = {
    "beta": "`kl_coef`",
    "num_generations": "not needed: gaard has no groups; `batch_size` is the number of completions a rollout",
    "num_iterations": "`num_ppo_epochs`",
    "num_train_epochs": "`max_steps`, counted in rollouts",
    "total_episodes": "`max_steps` times `batch_size`",
    "epsilon": "`cliprange`",
    "epsilon_high": "not there: `cliprange` holds both ways",
    "response_length": "`max_completion_length`",
    "max_prompt_length": "not there: prompts are never cut; a prompt that is too long is refused",
    "gradient_accumulation_steps": "not needed: `batch_size` is over all processes, and "
    "`per_device_train_batch_size` bounds the memory",
    "per_device_eval_batch_size": "not needed: `eval_completions` is how many are measured",
    "scale_rewards": "`normalize_rewards`",
    "whiten_rewards": "`normalize_rewards`",
    "loss_type": "`method`",
    "adam_beta1": "not there: AdamW's own 0.9",
    "logging_steps": "not needed: every step is logged",
    "log_completions_steps": "not needed: `log_completions` of every step are kept",
    "num_completions_to_print": "`log_completions`",
    "use_vllm": "not there: gaard samples by itself",
    "logging_dir": "`output_dir`",
    "run_name": "`output_dir`",
}


def told_of_trl(name: object) -> str:
    """What a setting of TRL's is called here.

    Args:
        name: As it was given.

    Returns:
        A sentence for an error message; empty for a name that is not TRL's.
    """
    return f"{name!r} is TRL's, here {NAMES[str(name)]} (docs/from-trl.md)" if name in NAMES else ""
