"""Settings and arguments of TRL's: whoever brings one hears what it is here."""

import copy
import dataclasses
import inspect
import pickle
import re
from pathlib import Path

import pytest
from transformers import TrainingArguments

from gaard import GAAConfig, GAATrainer
from gaard.errors import FEW, ConfigError
from gaard.lab.spec import read_config
from gaard.training.trl_names import ARGUMENTS, NAMES, SETTINGS, told_of_trl

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PPO_PAGE = ((DOCS / name).read_text(encoding="utf-8") for name in ("from-trl.md", "from-trl-ppo.md"))
FIELDS = {field.name for field in dataclasses.fields(GAAConfig)}
# Settings of TRL 1.16's GRPOConfig and RLOOConfig that gaard has not; TrainingArguments' come from transformers.
OF_TRL = """
    beta cache_implementation cast_lm_head_to_fp32 chat_template_kwargs delta disable_dropout
    ds3_gather_for_generation entropy_coef_delta entropy_coef_max entropy_coef_min entropy_target epsilon
    epsilon_high generation_batch_size generation_kwargs importance_sampling_level log_completions_hub_repo
    log_multimodal log_unique_prompts loss_type mask_truncated_completions max_tool_calling_iterations min_p
    model_init_kwargs multi_objective_aggregation normalize_advantages num_completions_to_print num_generations
    num_generations_eval num_iterations off_policy_mask_threshold pad_to_multiple_of ref_model_mixup_alpha
    ref_model_sync_steps repetition_penalty reward_clip_range reward_weights router_aux_loss_coef
    sapo_temperature_neg sapo_temperature_pos scale_rewards shuffle_dataset steps_per_generation sync_ref_model
    top_entropy_quantile top_k top_p transformers_continuous_batching_config trust_remote_code use_adaptive_entropy
    use_bias_correction_kl use_transformers_continuous_batching use_transformers_paged use_vllm vespo_k_neg
    vespo_lambda_pos vllm_group_port vllm_gpu_memory_utilization vllm_importance_sampling_cap vllm_mode
    vllm_server_host vllm_tensor_parallel_size
"""
# Of TrainingArguments, what hardly anybody sets, or what some release has and another has not.
RARELY_SET = """
    average_tokens_across_devices batch_eval_metrics debug do_predict enable_jit_checkpoint eval_accumulation_steps
    eval_do_concat_batches eval_use_gather_object ignore_data_skip include_for_metrics include_num_input_tokens_seen
    label_names length_column_name log_level_replica log_on_each_node logging_nan_inf_filter prediction_loss_only
    restore_callback_states_from_checkpoint save_on_each_node skip_memory_metrics train_sampling_strategy use_cache
"""


def refusal(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        GAAConfig("x", **{name: 8})
    return str(caught.value)


def test_every_name_that_it_tells_is_a_setting_of_gaards_and_none_that_it_explains_is():
    answers = [*NAMES.values(), *ARGUMENTS.values()]
    assert {name for words in answers for name in re.findall(r"`(\w+)`", words)} <= FIELDS
    assert [name for name in FIELDS if told_of_trl(name)] == []
    assert not ARGUMENTS.keys() & inspect.signature(GAATrainer).parameters.keys()
    assert all(re.match(r"here |not there|not needed here", words) for words in answers)


@pytest.mark.parametrize("name", OF_TRL.split())
def test_every_setting_of_grpo_and_rloo_is_answered(name):
    assert re.match(rf"GAAConfig\({name}=…\): there is no such setting: '{name}' is TRL's, (here|not)", refusal(name))


def test_what_people_set_of_training_arguments_is_answered():
    theirs = {field.name for field in dataclasses.fields(TrainingArguments)} - FIELDS
    assert {name for name in theirs if not told_of_trl(name)} <= set(RARELY_SET.split())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("beta", "here `kl_coef`"),
        ("num_iterations", "here `num_ppo_epochs`"),
        ("deepspeed", "not there: several processes share the data"),
        ("reward_weights", r"here an argument of the trainer"),
        ("vllm_mode", "not there: gaard samples by itself"),
    ],
)
def test_it_is_told_in_python_and_in_a_file(tmp_path, name, words):
    assert re.search(rf"GAAConfig\({name}=…\): .*{words}", refusal(name))
    if name != "reward_weights":  # which is a field of a file
        (tmp_path / "run.yaml").write_text(f"{name}: 8\n")
        with pytest.raises(ConfigError, match=rf"run\.yaml: '{name}' is TRL's, {words}"):
            read_config(tmp_path / "run.yaml")


@pytest.mark.parametrize("name", ["gamma", "lam", "vf_coef", "cliprange_value"])
def test_options_of_advantages_are_no_settings(name):
    assert "here an option of `advantages`" in refusal(name)


# The page -------------------------------------------------------------------------------------------------------------


def test_the_page_has_a_row_for_each_answer_and_no_others():
    table = PAGE[PAGE.index("| TRL `GRPOConfig`") : PAGE.index("A name of TRL's that gaard has not")]
    rows = [
        f"| {', '.join(f'`{name}`' for name in names)} | {answer.removeprefix('here ')} |"
        for names, answer in SETTINGS.items()
    ]
    assert table.strip().splitlines()[2:] == rows


def test_each_setting_of_trls_ppo_on_the_page_is_one_here_or_answered():
    table = PPO_PAGE[PPO_PAGE.index("| TRL `PPOConfig`") : PPO_PAGE.index("## The logged numbers")]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)[`=]", row[1 : row.find("|", 1)])]
    assert len(named) > 20
    assert [name for name in named if name not in {*FIELDS, "k1", "k3"} and not told_of_trl(name)] == []


def test_the_page_names_the_arguments_of_trainers_that_are_answered():
    assert [name for name in ARGUMENTS if f"`{name}`" not in PAGE + PPO_PAGE] == []


# Suggestions ----------------------------------------------------------------------------------------------------------


def test_another_unknown_name_has_its_nearest_neighbour():
    assert re.search(r"GAAConfig\(learning_rte=…\).*did you mean 'learning_rate'\?$", refusal("learning_rte"))


@pytest.mark.parametrize("name", ["foo", "rewards", "clip_weights", "completion_size"])
def test_a_name_that_is_near_none_is_told_where_the_list_is(name):
    said = refusal(name)
    assert said.endswith("`gaard train --help all` lists what there is")
    assert len([field for field in FIELDS if re.search(rf"\b{field}\b", said)]) < FEW


# Arguments of the trainer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ref_model", "'ref_model' is TRL's, not needed here: gaard keeps a frozen copy"),
        ("data_collator", "'data_collator' is TRL's, not needed here: "),
        ("optimizers", "'optimizers' is TRL's, not there: AdamW trains"),
        ("tokenizer", "'tokenizer' is TRL's, here processing_class"),
        ("reward_wights", "Did you mean 'reward_weights'"),
        ("max_steps", r"there are model, reward_funcs.*; settings go into args=GAAConfig"),
    ],
)
def test_an_unknown_argument_of_the_trainer_is_refused_in_words_that_help(name, words):
    with pytest.raises(ConfigError, match=rf"GAATrainer\({name}=…\): there is no such argument: {words}"):
        GAATrainer("pocket", "human", GAAConfig("x"), ["w1"], **{name: None})


def test_the_trainer_keeps_its_signature():
    names = list(inspect.signature(GAATrainer).parameters)
    assert names[:4] == ["model", "reward_funcs", "args", "train_dataset"]
    assert names[-2:] == ["peft_config", "callbacks"]


def test_a_config_is_copied_as_any_other_object():
    config = GAAConfig("x", kl_coef=0.5)
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config)), dataclasses.replace(config)):
        assert other == config
