"""The embedded weights of a pipeline that makes clips: LTX-2 with its sound, tiny and random.

Compression is the real one (32 in space, 8 in time, 4 in the spectrogram): sizes and lengths fit as they do there.
Knows torch and diffusers; does not know where weights are kept.
"""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from diffusers.pipelines import ltx2

TEXT_LAYERS = 2
TEXT_WIDTH = 16
MEL_BINS = 64
SOUND_CHANNELS = 16
"""Of one latent column: the latent channels times a quarter of the mel bins; diffusers wants as many base channels."""


def talking() -> Any:
    """Make the pipeline; its random numbers are the caller's."""
    return diffusers.LTX2DFRPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_picture_autoencoder().eval(),
        audio_vae=_sound_autoencoder().eval(),
        text_encoder=_text_encoder().eval(),
        tokenizer=_tokenizer(),
        connectors=_connectors().eval(),
        transformer=_transformer().eval(),
        vocoder=_vocoder().eval(),
    )


def _picture_autoencoder() -> Any:
    return diffusers.AutoencoderKLLTX2Video(
        latent_channels=8,
        block_out_channels=(4, 8, 8, 8),
        decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        encoder_spatial_padding_mode="zeros",
        decoder_spatial_padding_mode="zeros",
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )


def _sound_autoencoder() -> Any:
    return diffusers.AutoencoderKLLTX2Audio(
        base_channels=SOUND_CHANNELS,
        num_res_blocks=1,
        latent_channels=4 * SOUND_CHANNELS // MEL_BINS,
        mel_bins=MEL_BINS,
    )


def _transformer() -> Any:
    return diffusers.LTX2VideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        audio_in_channels=SOUND_CHANNELS,
        audio_out_channels=SOUND_CHANNELS,
        audio_num_attention_heads=2,
        audio_attention_head_dim=8,
        audio_cross_attention_dim=16,
        num_layers=2,
        caption_channels=TEXT_WIDTH,
        rope_double_precision=False,
    )


def _connectors() -> Any:
    return ltx2.LTX2TextConnectors(
        caption_channels=TEXT_WIDTH,
        text_proj_in_factor=TEXT_LAYERS + 1,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=TEXT_WIDTH // 2,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=None,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=TEXT_WIDTH // 2,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None,
        rope_double_precision=False,
    )


def _vocoder() -> Any:
    return ltx2.LTX2Vocoder(
        in_channels=2 * MEL_BINS, hidden_channels=32, resnet_kernel_sizes=[3], resnet_dilations=[[1]]
    )


def _text_encoder() -> Any:
    text = transformers.Gemma3TextConfig(
        vocab_size=264,
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=1024,
        sliding_window=512,
    )
    sight = transformers.SiglipVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, image_size=28, patch_size=14
    )
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config=sight,
        mm_tokens_per_image=4,
        image_token_index=263,
        boi_token_index=261,
        eoi_token_index=262,
    )
    return transformers.Gemma3ForConditionalGeneration(config)


def _tokenizer() -> Any:
    names = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {name: index for index, name in enumerate(names)}
    return transformers.GemmaTokenizer(vocab=vocabulary, merges=[], model_max_length=1024)
