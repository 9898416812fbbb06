"""Architectures that others designed, with random weights and made small: what a summary is checked on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Specimen:
    """An architecture: `make()` gives the model in eval mode, `inputs()` what it is called on, batch first.

    `numbers` says why its forward cannot be followed on tensors without values, or "" where it can;
    `uncounted` names what it computes that neither torch's counter nor the summary has a formula for.
    """

    name: str
    package: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    numbers: str = ""
    uncounted: tuple[str, ...] = ()


SPECIMENS: list[Specimen] = []


def tokens(*names: str, size: int = 16, **others: Any) -> Callable[[], dict[str, Any]]:
    """Return what makes keyword inputs of whole numbers below 100, a batch of 2."""

    def make() -> dict[str, Any]:
        kinds = {"attention_mask": lambda: torch.ones(2, size, dtype=torch.long)}
        whole = lambda: torch.randint(3, 90, (2, size))  # noqa: E731
        made = {name: kinds.get(name, whole)() for name in names or ("input_ids",)}
        return made | {name: value() for name, value in others.items()}

    return make


def pixels(size: int = 64, channels: int = 3, batch: int = 2) -> Callable[[], dict[str, Any]]:
    """Return what makes a batch of random images, given as `pixel_values`."""
    return lambda: {"pixel_values": torch.rand(batch, channels, size, size)}


def hugging(
    model: str,
    config: str,
    inputs: Callable[[], Any],
    *,
    numbers: str = "",
    uncounted: tuple[str, ...] = (),
    name: str = "",
    **options: Any,
) -> None:
    """Add a model of `transformers` built from a configuration; one inside is given as (name, options)."""

    def make() -> nn.Module:
        import transformers

        transformers.logging.set_verbosity_error()
        configured = getattr(transformers, config)(**_built(options))
        return getattr(transformers, model)(configured).eval()

    SPECIMENS.append(Specimen(name or model, "transformers", make, inputs, numbers, uncounted))


def other(package: str, name: str, inputs: Callable[[], Any], numbers: str = "") -> Callable[[Any], Any]:
    """Add the model that the decorated function makes."""

    def add(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        SPECIMENS.append(Specimen(name, package, lambda: make().eval(), inputs, numbers))
        return make

    return add


def _built(options: dict[str, Any]) -> dict[str, Any]:
    """Make a configuration of each option given as (class name, its options)."""
    import transformers

    return {
        name: getattr(transformers, value[0])(**_built(value[1]))
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict)
        else value
        for name, value in options.items()
    }


# fmt: off
# -- language: encoders

_SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    vocab_size=100)
_ENCODER = _SMALL | dict(max_position_embeddings=64)
_WORDS = tokens("input_ids", "attention_mask")

hugging("BertForSequenceClassification", "BertConfig", _WORDS, **_ENCODER)
hugging("BertForMaskedLM", "BertConfig", _WORDS, **_ENCODER)
hugging("RobertaForTokenClassification", "RobertaConfig", _WORDS, **_ENCODER)
hugging("ElectraForPreTraining", "ElectraConfig", _WORDS, embedding_size=16, **_ENCODER)
hugging("MPNetModel", "MPNetConfig", _WORDS, **_ENCODER)
hugging("AlbertForMaskedLM", "AlbertConfig", _WORDS, embedding_size=16, **_ENCODER)
hugging("DistilBertForSequenceClassification", "DistilBertConfig", _WORDS, dim=32, n_layers=2, n_heads=4,
    hidden_dim=64, vocab_size=100, max_position_embeddings=64)
hugging("DebertaV2ForSequenceClassification", "DebertaV2Config", _WORDS, relative_attention=True,
    pos_att_type=["p2c", "c2p"], **_ENCODER)
hugging("FNetModel", "FNetConfig", tokens(), uncounted=("aten._fft_c2c",), **{k: v for k, v in
    _ENCODER.items() if k != "num_attention_heads"})
hugging("ConvBertModel", "ConvBertConfig", _WORDS, embedding_size=16, conv_kernel_size=3, **_ENCODER)
hugging("MobileBertModel", "MobileBertConfig", _WORDS, embedding_size=16, intra_bottleneck_size=16,
    true_hidden_size=16, **_ENCODER)
hugging("ModernBertForMaskedLM", "ModernBertConfig", _WORDS, pad_token_id=0, attn_implementation="sdpa",
    **_ENCODER)
hugging("FunnelModel", "FunnelConfig", _WORDS, vocab_size=100, block_sizes=[1, 1], d_model=32, n_head=4,
    d_head=8, d_inner=64)
hugging("XLNetModel", "XLNetConfig", _WORDS, vocab_size=100, d_model=32, n_layer=2, n_head=4, d_inner=64)
hugging("NystromformerModel", "NystromformerConfig", tokens(size=32), num_landmarks=4,
    segment_means_seq_len=32, conv_kernel_size=5,
    numbers="it drops a mask that is all ones, and takes no other", **_ENCODER)
hugging("LongformerModel", "LongformerConfig", _WORDS, attention_window=8,
    numbers="whether there is global attention is an if on the mask", **_ENCODER)

# -- language: decoders

_DECODER = _SMALL | dict(max_position_embeddings=64, num_key_value_heads=2, use_cache=False, head_dim=8)
_EXPERTS = dict(num_experts_per_tok=2)

hugging("GPT2LMHeadModel", "GPT2Config", _WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=64,
    vocab_size=100, use_cache=False)
hugging("GPTNeoForCausalLM", "GPTNeoConfig", _WORDS, hidden_size=32, num_layers=2, num_heads=4,
    vocab_size=100, attention_types=[[["global", "local"], 1]], window_size=8, use_cache=False)
hugging("GPTNeoXForCausalLM", "GPTNeoXConfig", _WORDS, use_cache=False, **_ENCODER)
hugging("OPTForCausalLM", "OPTConfig", _WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    ffn_dim=64, vocab_size=100, word_embed_proj_dim=16, max_position_embeddings=64, use_cache=False)
hugging("BloomForCausalLM", "BloomConfig", _WORDS, hidden_size=32, n_layer=2, n_head=4, vocab_size=100,
    use_cache=False)
hugging("LlamaForCausalLM", "LlamaConfig", _WORDS, **_DECODER)
hugging("LlamaForCausalLM", "LlamaConfig", _WORDS, name="LlamaForCausalLM, eager attention",
    attn_implementation="eager", **_DECODER)
hugging("MistralForCausalLM", "MistralConfig", _WORDS, sliding_window=8, **_DECODER)
hugging("Qwen2ForCausalLM", "Qwen2Config", _WORDS, tie_word_embeddings=True, **_DECODER)
hugging("Gemma2ForCausalLM", "Gemma2Config", _WORDS, sliding_window=8, **_DECODER)
hugging("PhiForCausalLM", "PhiConfig", _WORDS, **{k: v for k, v in _DECODER.items() if k != "head_dim"})
hugging("FalconForCausalLM", "FalconConfig", _WORDS, hidden_size=32, num_hidden_layers=2,
    num_attention_heads=4, vocab_size=100, use_cache=False)
hugging("MixtralForCausalLM", "MixtralConfig", _WORDS, num_local_experts=4, **_EXPERTS,
    **_DECODER)
hugging("Qwen2MoeForCausalLM", "Qwen2MoeConfig", _WORDS, num_experts=4, moe_intermediate_size=32,
    shared_expert_intermediate_size=32, decoder_sparse_step=1, **_EXPERTS, **_DECODER)
hugging("MambaForCausalLM", "MambaConfig", tokens(), vocab_size=100, hidden_size=32, num_hidden_layers=2,
    state_size=8, use_cache=False)
hugging("Mamba2ForCausalLM", "Mamba2Config", tokens(), vocab_size=100, hidden_size=32, num_hidden_layers=2,
    state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=8, use_cache=False)
hugging("RwkvForCausalLM", "RwkvConfig", tokens(), vocab_size=100, hidden_size=32, num_hidden_layers=2,
    attention_hidden_size=32, intermediate_size=64, use_cache=False)

# -- language: from one to another

_BOTH = tokens("input_ids", "decoder_input_ids")
_BART = dict(vocab_size=100, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64,
    use_cache=False)

hugging("T5ForConditionalGeneration", "T5Config", _BOTH, vocab_size=100, d_model=32, d_kv=8, d_ff=64,
    num_layers=2, num_heads=4, use_cache=False)
hugging("T5ForConditionalGeneration", "T5Config", _BOTH, name="T5 v1.1 (gated)", vocab_size=100, d_model=32,
    d_kv=8, d_ff=64, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu", use_cache=False)
hugging("BartForConditionalGeneration", "BartConfig", _BOTH, **_BART)
hugging("MarianMTModel", "MarianConfig", _BOTH, pad_token_id=0, **_BART)
hugging("PegasusForConditionalGeneration", "PegasusConfig", _BOTH, **_BART)

# -- images

_VIT = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=64,
    patch_size=16)

hugging("ViTForImageClassification", "ViTConfig", pixels(), **_VIT)
hugging("DeiTForImageClassification", "DeiTConfig", pixels(), **_VIT)
hugging("BeitForImageClassification", "BeitConfig", pixels(), use_relative_position_bias=True, **_VIT)
hugging("Dinov2ForImageClassification", "Dinov2Config", pixels(), **_VIT)
hugging("ViTMAEModel", "ViTMAEConfig", pixels(), **_VIT)
hugging("SwinForImageClassification", "SwinConfig", pixels(), image_size=64, patch_size=4, embed_dim=16,
    depths=[2, 2], num_heads=[2, 4], window_size=4)
hugging("Swinv2ForImageClassification", "Swinv2Config", pixels(), image_size=64, patch_size=4, embed_dim=16,
    depths=[2, 2], num_heads=[2, 4], window_size=4)
hugging("ConvNextForImageClassification", "ConvNextConfig", pixels(), hidden_sizes=[8, 16, 32, 64], depths=[1,
    1, 2, 1])
hugging("ConvNextV2ForImageClassification", "ConvNextV2Config", pixels(), hidden_sizes=[8, 16, 32, 64],
    depths=[1, 1, 2, 1])
hugging("ResNetForImageClassification", "ResNetConfig", pixels(), embedding_size=8, hidden_sizes=[16, 32],
    depths=[2, 2])
hugging("RegNetForImageClassification", "RegNetConfig", pixels(), embedding_size=8, hidden_sizes=[16, 32],
    depths=[1, 1], groups_width=8)
hugging("BitForImageClassification", "BitConfig", pixels(), embedding_size=8, hidden_sizes=[16, 32],
    depths=[1, 1], num_groups=2)
hugging("MobileNetV1ForImageClassification", "MobileNetV1Config", pixels(), image_size=64,
    depth_multiplier=0.25)
hugging("MobileNetV2ForImageClassification", "MobileNetV2Config", pixels(), image_size=64,
    depth_multiplier=0.35)
hugging("MobileViTForImageClassification", "MobileViTConfig", pixels(), image_size=64, hidden_sizes=[16, 24,
    32], neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 64])
hugging("EfficientNetForImageClassification", "EfficientNetConfig", pixels(), image_size=64,
    width_coefficient=0.25, depth_coefficient=0.3, hidden_dim=320)
hugging("SegformerForSemanticSegmentation", "SegformerConfig", pixels(), hidden_sizes=[8, 16, 24, 32],
    num_attention_heads=[1, 2, 2, 4], depths=[1, 1, 1, 1], decoder_hidden_size=16)
hugging("PvtForImageClassification", "PvtConfig", pixels(), image_size=64, hidden_sizes=[8, 16, 24, 32],
    num_attention_heads=[1, 2, 3, 4], depths=[1, 1, 1, 1])
hugging("PoolFormerForImageClassification", "PoolFormerConfig", pixels(), hidden_sizes=[8, 16, 24, 32],
    depths=[1, 1, 1, 1])
hugging("CvtForImageClassification", "CvtConfig", pixels(), embed_dim=[8, 16, 32], num_heads=[1, 2, 4],
    depth=[1, 2, 3])
hugging("LevitForImageClassification", "LevitConfig", pixels(), image_size=64, hidden_sizes=[16, 24, 32],
    num_attention_heads=[2, 3, 4], depths=[1, 1, 1], key_dim=[8, 8, 8])
hugging("FocalNetForImageClassification", "FocalNetConfig", pixels(), image_size=64, embed_dim=16, depths=[1,
    1], focal_levels=[2, 2], focal_windows=[3, 3], hidden_sizes=[16, 32])
hugging("HieraForImageClassification", "HieraConfig", pixels(), image_size=[64, 64], embed_dim=8, depths=[1,
    1, 1], num_heads=[1, 2, 4], mlp_ratio=2.0, query_stride=[2, 2], masked_unit_size=[4, 4], num_query_pool=2)
hugging("DPTForDepthEstimation", "DPTConfig", pixels(), neck_hidden_sizes=[8, 8, 16, 16],
    fusion_hidden_size=16, backbone_out_indices=[0, 1, 2, 3], **(_VIT | dict(num_hidden_layers=4)))
hugging("GLPNForDepthEstimation", "GLPNConfig", pixels(), hidden_sizes=[8, 16, 24, 32],
    num_attention_heads=[1, 2, 2, 4], depths=[1, 1, 1, 1], decoder_hidden_size=16)
hugging("YolosForObjectDetection", "YolosConfig", pixels(), num_detection_tokens=10, **(_VIT |
    dict(image_size=[64, 64])))
_BACKBONE = ("ResNetConfig", dict(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1],
    out_features=["stage2"]))
_DETR = dict(d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_queries=10,
    use_timm_backbone=False, backbone=None, use_pretrained_backbone=False, backbone_config=_BACKBONE)
hugging("DetrForObjectDetection", "DetrConfig", pixels(), **_DETR)
hugging("ConditionalDetrForObjectDetection", "ConditionalDetrConfig", pixels(), **_DETR)
hugging("DeformableDetrForObjectDetection", "DeformableDetrConfig", pixels(), num_feature_levels=1, **(_DETR |
    dict(decoder_layers=2)))
hugging("UperNetForSemanticSegmentation", "UperNetConfig", pixels(), hidden_size=16, auxiliary_in_channels=16,
    pool_scales=[1, 2], backbone_config=("ConvNextConfig", dict(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1,
    1], out_features=["stage1", "stage2", "stage3", "stage4"])))
hugging("MaskFormerForInstanceSegmentation", "MaskFormerConfig", pixels(), fpn_feature_size=32,
    mask_feature_size=32, backbone_config=("SwinConfig", dict(image_size=64, embed_dim=16, depths=[1, 1, 1,
    1], num_heads=[2, 2, 4, 4], window_size=4, out_features=["stage1", "stage2", "stage3", "stage4"])),
    decoder_config=("DetrConfig", _DETR))
hugging("SamVisionModel", "SamVisionConfig", pixels(), output_channels=16, window_size=2,
    global_attn_indexes=[1], mlp_dim=64, **_VIT)

# -- sound, words with images, series

_SOUND = dict(conv_dim=(16, 16, 16), conv_kernel=(10, 3, 2), conv_stride=(5, 2, 2), num_feat_extract_layers=3,
    num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, **_SMALL)
_CLIP = dict(text_config=_ENCODER | dict(projection_dim=16), vision_config=_VIT, projection_dim=16)

hugging("WhisperForConditionalGeneration", "WhisperConfig", lambda: {"input_features": torch.rand(2, 16, 64),
    "decoder_input_ids": torch.randint(3, 90, (2, 8))}, num_mel_bins=16, max_source_positions=32,
    max_target_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, **{k: v
    for k, v in _BART.items() if k != "max_position_embeddings"})
hugging("Wav2Vec2ForCTC", "Wav2Vec2Config", lambda: {"input_values": torch.rand(2, 1600)}, **_SOUND)
hugging("HubertModel", "HubertConfig", lambda: {"input_values": torch.rand(2, 1600)}, **_SOUND)
hugging("WavLMModel", "WavLMConfig", lambda: {"input_values": torch.rand(2, 1600)}, **_SOUND)
hugging("ASTForAudioClassification", "ASTConfig", lambda: {"input_values": torch.rand(2, 64, 32)},
    num_mel_bins=32, max_length=64, **{k: v for k, v in _VIT.items() if k != "image_size"})
hugging("EncodecModel", "EncodecConfig", lambda: {"input_values": torch.rand(2, 1, 640)}, num_filters=4,
    hidden_size=16, codebook_dim=16, codebook_size=32, upsampling_ratios=[4, 2], sampling_rate=8000,
    target_bandwidths=[20.0], numbers="its paddings are computed from kernel sizes kept as tensors")
hugging("CLIPModel", "CLIPConfig", tokens("input_ids", pixel_values=lambda: torch.rand(2, 3, 64, 64)),
    **_CLIP)
hugging("SiglipModel", "SiglipConfig", tokens("input_ids", pixel_values=lambda: torch.rand(2, 3, 64, 64)),
    text_config=_ENCODER | dict(projection_size=32), vision_config=_VIT)
hugging("ViltModel", "ViltConfig", tokens("input_ids", pixel_values=lambda: torch.rand(2, 3, 64, 64)),
    numbers="it picks the patches that its pixel mask leaves", max_image_length=-1, **_VIT, vocab_size=100,
    max_position_embeddings=64)
hugging("LayoutLMModel", "LayoutLMConfig", tokens("input_ids", bbox=lambda: torch.zeros(2, 16, 4,
    dtype=torch.long)), **_ENCODER)
hugging("PatchTSTForPrediction", "PatchTSTConfig", lambda: {"past_values": torch.rand(2, 32, 3)},
    num_input_channels=3, context_length=32, patch_length=8, patch_stride=8, d_model=16, num_hidden_layers=2,
    num_attention_heads=2, ffn_dim=32, prediction_length=8, loss="nll")
hugging("TimeSeriesTransformerModel", "TimeSeriesTransformerConfig", lambda: {"past_values": torch.rand(2,
    23), "past_time_features": torch.rand(2, 23, 1), "past_observed_mask": torch.ones(2, 23), "future_values":
    torch.rand(2, 8), "future_time_features": torch.rand(2, 8, 1)}, prediction_length=8, context_length=16,
    num_time_features=1, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32,
    decoder_ffn_dim=32, use_cache=False)
hugging("DecisionTransformerModel", "DecisionTransformerConfig", lambda: {"states": torch.rand(2, 5, 17),
    "actions": torch.rand(2, 5, 4), "rewards": torch.rand(2, 5, 1), "returns_to_go": torch.rand(2, 5, 1),
    "timesteps": torch.arange(5).repeat(2, 1), "attention_mask": torch.ones(2, 5)}, state_dim=17, act_dim=4,
    hidden_size=32, n_layer=2, n_head=4)
hugging("PerceiverForMaskedLM", "PerceiverConfig", lambda: {"inputs": torch.randint(3, 90, (2, 32))},
    vocab_size=100, d_model=32, d_latents=32, num_latents=8, num_blocks=1, num_self_attends_per_block=2,
    num_self_attention_heads=4, num_cross_attention_heads=4, max_position_embeddings=32, qk_channels=32,
    v_channels=32)

# fmt: on

# -- from other packages


@other("efficientnet_pytorch", "EfficientNet-B0", lambda: torch.rand(2, 3, 64, 64))
def _efficientnet() -> nn.Module:
    from efficientnet_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-b0", num_classes=10)


_CROPPED = "what is cropped from a skip connection is computed as a tensor"


@other("unet", "U-Net 2-D", lambda: torch.rand(2, 1, 32, 32), _CROPPED)
def _unet() -> nn.Module:
    from unet import UNet

    return UNet(in_channels=1, out_classes=2, num_encoding_blocks=3, out_channels_first_layer=8, padding=1)


@other("unet", "U-Net 3-D", lambda: torch.rand(1, 1, 16, 16, 16), _CROPPED)
def _unet_3d() -> nn.Module:
    from unet import UNet

    return UNet(
        in_channels=1,
        out_classes=2,
        dimensions=3,
        num_encoding_blocks=2,
        out_channels_first_layer=4,
        normalization="batch",
        upsampling_type="linear",
        padding=True,
    )


@other(
    "diffusers", "UNet2DModel", lambda: {"sample": torch.rand(2, 3, 32, 32), "timestep": torch.tensor([3, 7])}
)
def _diffusion() -> nn.Module:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=32,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )


@other(
    "diffusers",
    "UNet2DConditionModel",
    lambda: {
        "sample": torch.rand(2, 4, 16, 16),
        "timestep": torch.tensor(3),
        "encoder_hidden_states": torch.rand(2, 6, 12),
    },
)
def _conditioned() -> nn.Module:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=4,
        layers_per_block=1,
        cross_attention_dim=12,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


@other("diffusers", "AutoencoderKL", lambda: torch.rand(2, 3, 32, 32))
def _autoencoder() -> nn.Module:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )


@other(
    "diffusers",
    "DiTTransformer2DModel",
    lambda: {
        "hidden_states": torch.rand(2, 4, 8, 8),
        "timestep": torch.tensor([3, 7]),
        "class_labels": torch.tensor([1, 2]),
    },
)
def _dit() -> nn.Module:
    from diffusers import DiTTransformer2DModel

    return DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        num_layers=2,
        sample_size=8,
        num_embeds_ada_norm=10,
    )
