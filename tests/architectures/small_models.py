"""A small model of every architecture that transformers can classify texts or images with, made from its config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tasks_samples import save_tokenizer
from transformers import AutoConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hpsearch.tasks.pretrained import quiet

TEXTS = tuple(modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
IMAGES = tuple(modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
SIZE = 32

_COMMON: Mapping[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size", "encoder_hidden_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_decoder_layers", "num_encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "multi_query_group_num"), 2),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "d_inner", "n_inner", "hidden_dim"), 48),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "moe_intermediate_size"), 48),
    **dict.fromkeys(("shared_expert_intermediate_size",), 48),
    **dict.fromkeys(("head_dim", "d_kv"), 8),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 128),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok",), 2),
    "vocab_size": 40,
    "type_vocab_size": 2,
    "image_size": SIZE,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
"""What makes a model small, where its config has it by this name."""

_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
_LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_GROUPS = {"n_group": 1, "topk_group": 1}
_WIDTHS = [8, 16, 24, 32]
_ONE_EACH = [1, 1, 1, 1]
_WINDOWS = {
    "image_size": SIZE,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
OWN: Mapping[str, Mapping[str, Any]] = {
    "axk1": {**_LATENT, **_GROUPS},
    "axk2": {**_LATENT, **_GROUPS},
    "deepseek_v2": {**_LATENT, **_GROUPS, "num_experts_per_tok": 2},
    "deepseek_v3": {**_LATENT, **_GROUPS, "first_k_dense_replace": 1},
    "cohere_compass_text": {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 10000.0} for kind in ("full_attention", "sliding_attention")
        }
    },
    "gptj": {"rotary_dim": 8},
    "layoutlmv3": {"coordinate_size": 4, "shape_size": 8},
    "lilt": {"hidden_size": 48},
    "minicpm3": _LATENT,
    "mistral4": {**_LATENT, "head_dim": 16},
    "qwen3_5_text": {"layer_types": ["linear_attention", "full_attention"]},
    "t5": {"decoder_start_token_id": 0},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "esm": {"vocab_size": 40},
    "esmc": {"num_key_value_heads": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "hunyuan_v1_dense": {**_ROPE, "head_dim": 8},
    "hunyuan_v1_moe": {**_ROPE, "head_dim": 8},
    "luke": {"entity_vocab_size": 20, "entity_emb_size": 16},
    "ministral": {**_ROPE, "head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "reformer": {
        "axial_pos_embds": False,
        "attn_layers": ["local", "lsh"],
        "attention_head_size": 8,
        "feed_forward_size": 48,
        "num_hidden_layers": 2,
        "num_buckets": 4,
    },
    "roc_bert": {"pronunciation_embed_dim": 8, "shape_embed_dim": 8, "shape_vocab_size": 50},
    "zamba": {
        "num_hidden_layers": 4,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
    },
    "zamba2": {
        "num_hidden_layers": 3,
        "layers_block_type": ["mamba", "hybrid", "mamba"],
        "num_key_value_heads": 4,
        "mamba_d_state": 8,
        "adapter_rank": 4,
        "intermediate_size": 48,
    },
    "bit": {"hidden_sizes": _WIDTHS, "depths": _ONE_EACH, "num_groups": 4},
    "convnext": {"hidden_sizes": _WIDTHS, "depths": _ONE_EACH, "image_size": SIZE},
    "convnextv2": {"hidden_sizes": _WIDTHS, "depths": _ONE_EACH, "image_size": SIZE},
    "cvt": {"embed_dim": [8, 12, 24], "num_heads": [1, 1, 3], "depth": [1, 2, 3], "cls_token": [False, False, True]},
    "deit": {"pooler_output_size": 32},
    "donut-swin": _WINDOWS,
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320},
    "focalnet": {"embed_dim": 8, "hidden_sizes": [8, 16, 32, 64], "depths": _ONE_EACH},
    "hgnet_v2": {
        "hidden_sizes": _WIDTHS,
        "depths": _ONE_EACH,
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16, 16, 24],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [16, 16, 24, 32],
        "stage_num_blocks": _ONE_EACH,
        "stage_numb_of_layers": [2, 2, 2, 2],
    },
    "hiera": {
        "image_size": [SIZE, SIZE],
        "embed_dim": 8,
        "depths": _ONE_EACH,
        "num_heads": [1, 1, 2, 2],
        "masked_unit_size": [8, 8],
        "num_query_pool": 3,
        "patch_stride": [2, 2],
        "patch_size": [3, 3],
        "patch_padding": [1, 1],
    },
    "levit": {
        "image_size": 64,
        "hidden_sizes": [16, 24, 32],
        "num_attention_heads": [2, 2, 2],
        "depths": [1, 1, 1],
        "key_dim": [8, 8, 8],
    },
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    "mobilevit": {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 8, 12, 12, 16, 32], "image_size": 64},
    "mobilevitv2": {
        "base_attn_unit_dims": [16, 24, 32],
        "n_attn_blocks": [1, 1, 1],
        "width_multiplier": 0.25,
        "image_size": 64,
    },
    "poolformer": {"hidden_sizes": _WIDTHS, "depths": _ONE_EACH},
    "pvt": {"image_size": 64, "hidden_sizes": _WIDTHS, "depths": _ONE_EACH, "num_attention_heads": [1, 2, 2, 4]},
    "pvt_v2": {"image_size": 64, "hidden_sizes": _WIDTHS, "depths": _ONE_EACH, "num_attention_heads": [1, 2, 2, 4]},
    "regnet": {"embedding_size": 8, "hidden_sizes": _WIDTHS, "depths": _ONE_EACH, "groups_width": 4},
    "resnet": {"embedding_size": 8, "hidden_sizes": _WIDTHS, "depths": _ONE_EACH},
    "segformer": {
        "hidden_sizes": _WIDTHS,
        "depths": _ONE_EACH,
        "num_attention_heads": [1, 2, 2, 4],
        "decoder_hidden_size": 16,
    },
    "swiftformer": {"embed_dims": _WIDTHS, "depths": _ONE_EACH},
    "swin": _WINDOWS,
    "swinv2": _WINDOWS,
    "textnet": {"image_size": [64, 64], "stem_out_channels": 8, "hidden_sizes": [8, 8, 8, 16, 16]},
    "perceiver": {"num_latents": 8, "d_latents": 32, "num_self_attends_per_block": 2},
}
"""What else a config needs to be small, or to be built at all."""

NOT_BUILT: Mapping[str, str] = {
    "layoutlmv2": "needs detectron2, which has no package to install",
    "dinat": "needs natten, which compiles for one torch at a time",
    "shieldgemma2": "reads an image beside a prompt, and has no head to train",
    "timm_wrapper": "needs timm, which needs torchvision",
}
"""Architectures that are not built, each with the reason."""

READS_PADDING: Mapping[str, str] = {
    "canine": "Its convolutions over characters reach into the padding.",
    "fnet": "Its Fourier transform mixes all places of a row, those of the padding too; it takes no attention mask.",
    "funnel": "It pools neighbouring tokens, the last ones with the padding.",
    "nystromformer": "Its landmarks are means over the padded row.",
    "t5gemma": "Where a row has no padding, transformers reads its class off another place than where it has some.",
    "t5gemma2": "Where a row has no padding, transformers reads its class off another place than where it has some.",
    "yoso": "Its sums over hashed tokens have the padding in them.",
}
"""Architectures of which a row's prediction depends on how far it is padded, in transformers as in hpsearch."""

REFUSED: Mapping[str, str] = {
    "imagegpt": "It reads colours by number, and hpsearch gives pixels.",
    "pp_lcnet": "transformers' class returns no logits unless it is given labels.",
    "siglip2": "It reads patches beside their number, and hpsearch gives pixels.",
}
"""Architectures that are refused before any training."""


NOT_CHECKPOINTED = frozenset(
    {
        "albert",
        "bit",
        "convnext",
        "convnextv2",
        "ctrl",
        "cvt",
        "efficientnet",
        "flaubert",
        "funnel",
        "hgnet_v2",
        "ibert",
        "jetmoe",
        "layoutlmv3",
        "levit",
        "markuplm",
        "mobilenet_v1",
        "mobilenet_v2",
        "mpnet",
        "openai-gpt",
        "perceiver",
        "poolformer",
        "pvt",
        "reformer",
        "regnet",
        "resnet",
        "squeezebert",
        "textnet",
        "xlm",
        "xlnet",
    }
)
"""Architectures that offer no gradient checkpointing in transformers."""


def small_config(name: str) -> Any:
    """Return the config of a small model of this architecture."""
    with quiet():
        return CONFIG_MAPPING[name](**_small(CONFIG_MAPPING[name], OWN.get(name, {})))


def _small(kind: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    there = kind().to_dict()
    settings = {key: value for key, value in _COMMON.items() if isinstance(there.get(key), int)}
    settings |= {key: _COMMON[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id") if key in there}
    for part in kind.sub_configs:
        named = (there.get(part) or {}).get("model_type")
        if named in CONFIG_MAPPING:
            settings[part] = _small(CONFIG_MAPPING[named], OWN.get(named, {}))
        elif kind.sub_configs[part] is not AutoConfig:
            settings[part] = _small(kind.sub_configs[part], {})
    return settings | dict(own)


def save_small(name: str, kind: str, folder: Path) -> Path:
    """Write a small model, drawn from a fixed seed, and a tokenizer or no image processor."""
    config = small_config(name)
    config.architectures = config.architectures or []  # where there are several classes, the first is taken
    auto = "AutoModelForSequenceClassification" if kind == "text" else "AutoModelForImageClassification"
    torch.manual_seed(7)
    with quiet():
        getattr(transformers, auto).from_config(config).save_pretrained(folder)
    if kind == "text":
        save_tokenizer(folder)
    return folder
