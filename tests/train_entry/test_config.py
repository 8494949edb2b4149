import pytest
import yaml

from train_entry.config import CONFIG_FOLDER, TrainConfig, load_config, to_yaml
from train_entry.errors import ConfigError

CONFIGS = sorted(path.name for path in CONFIG_FOLDER.glob("*.yaml"))
GIVEN = ("data=gs://bucket/dataset", "output=/runs/one")


def loaded(*overrides, name="seer_10b.yaml"):
    return load_config(str(CONFIG_FOLDER / name), [*GIVEN, *overrides])


@pytest.mark.parametrize("name", CONFIGS)
def test_each_bundled_configuration_is_valid_and_comes_back_from_its_resolved_form(name, tmp_path):
    config = loaded(name=name)
    saved = tmp_path / "config.yaml"
    saved.write_text(to_yaml(config))
    assert load_config(str(saved), []) == config


def test_the_10b_has_the_published_values():
    config = loaded()
    assert (config.model.w_0, config.model.depth, config.model.group_width) == (1744, 27, 1010)
    assert [(one.count, one.px) for one in config.crops.groups] == [(2, 160), (4, 96)]
    assert (config.swav.prototypes, config.swav.epsilon, config.swav.rounds) == (16_000, 0.03, 10)
    assert config.optim.lr * config.data.batch / 256 == pytest.approx(9.3)
    assert config.data.dataset == "gs://bucket/dataset"


def test_a_value_on_the_command_line_replaces_that_of_the_file():
    config = loaded("optim.steps=10", "swav.hidden=[16]", "parallel.compile=true")
    assert config.optim.steps == 10
    assert config.swav.hidden == (16,)
    assert config.parallel.compile is True


def test_a_model_by_name_replaces_all_numbers_and_nothing_else():
    config = loaded("model=rg_8gf")
    assert config.model.group_width == 56
    assert config.model.batch_norm_group == 8
    config = loaded("model=rg_8gf", name="smoke_cpu.yaml")
    assert (config.model.w_0, config.model.stem_width) == (192, 32)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.steps=0", "optim.steps: Input should be greater than 0, got 0"),
        ("optim.stepz=1", "optim.stepz: Extra inputs are not permitted, got 1"),
        ("model=rg_9b", "expected one of rg_8gf, .*, got rg_9b"),
        (
            "model={name: rg_8gf, state_precision: bfloat16}",
            "model: .*expected precision bfloat16 with state_precision bfloat16, got float32",
        ),
        ("optim.steps", "expected KEY=VALUE such as optim.steps=1000, got 'optim.steps'"),
    ],
)
def test_what_is_wrong_is_told_by_its_name_and_with_both_sides(override, message):
    with pytest.raises(ConfigError, match=message):
        loaded(override)


def test_a_missing_file_is_told():
    with pytest.raises(ConfigError, match=r"expected a YAML file, got .*No such file"):
        load_config("/nowhere.yaml", [])


def test_speed_is_not_part_of_what_a_run_is():
    recorded = loaded().recorded()
    assert "dataset" not in recorded["data"]
    assert recorded["parallel"] == recorded["loader"] == recorded["journal"] == {}
    assert recorded["data"]["batch"] == 7936
    assert yaml.safe_load(to_yaml(loaded()))["parallel"]["shard"] == 8


def test_each_key_has_a_description():
    def walk(options):
        for name, info in options.model_fields.items():
            kind = info.annotation
            if isinstance(kind, type) and hasattr(kind, "model_fields"):
                walk(kind)
            else:
                assert info.description, name

    walk(TrainConfig)
