"""What a config.json of transformers' families states, and what holds where it is silent."""

import pytest
from transformers import AutoConfig

from cocoop.clip.sources.families.base import Checkpoint
from cocoop.clip.sources.families.hugging_face import _DEFAULTS, _config

STATED = {
    "silent": {},
    "both towers": {
        "text_config": {"hidden_size": 64, "num_attention_heads": 4, "hidden_act": "gelu", "eos_token_id": 2},
        "vision_config": {"image_size": 32, "patch_size": 8, "layer_norm_eps": 1e-6},
        "projection_dim": 16,
    },
    "old form": {
        "text_config": {"hidden_size": 64, "hidden_act": "gelu"},
        "text_config_dict": {"hidden_size": 128},
        "vision_config_dict": None,
        "vision_config": {"num_hidden_layers": 2},
    },
}


@pytest.mark.parametrize("stated", STATED.values(), ids=STATED.keys())
@pytest.mark.parametrize("family", ["clip", "metaclip_2"])
def test_every_setting_is_as_transformers_has_it(family, stated):
    theirs = AutoConfig.for_model(family, **stated)
    ours = _config(Checkpoint("a model", {}, {"model_type": family, **stated}))
    assert ours.projection_dim == theirs.projection_dim
    for tower, names in _DEFAULTS.items():
        for name in names:
            settings = [getattr(config, f"{tower}_config") for config in (ours, theirs)]
            assert getattr(settings[0], name) == getattr(settings[1], name), (tower, name)
