"""The embedded weights: real pipeline classes with tiny seeded random weights, made on this machine.

They draw coloured noise. Size rules, steps, progress and memory behaviour are those of the real models: the
autoencoders keep their real compression. Knows torch and diffusers; does not know who asks.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import FlowMatchEulerDiscreteScheduler

from handlers.runtime.embedded_clips import talking

FORMAT = 1
STALE_S = 3600.0
SEED = 20_240_801
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def embedded_folder(cache_dir: Path, pipeline_class: str) -> Path:
    """Find or make the folder of a pipeline's embedded weights.

    Two processes may do this at once: each builds in a folder of its own, one rename wins.
    Raises: LookupError when there are none for that class.
    """
    build = BUILDERS.get(pipeline_class)
    if build is None:
        raise LookupError(f"there are embedded weights for {', '.join(sorted(BUILDERS))}, not for {pipeline_class}")
    shelf = cache_dir / "embedded"
    folder = shelf / f"{pipeline_class}-{FORMAT}-{diffusers.__version__}-{transformers.__version__}"
    if not folder.is_dir():
        shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep_stale(shelf)
        _publish(build, shelf, folder)
    return folder


def discard_embedded(cache_dir: Path, folder: Path) -> None:
    """Remove a damaged folder so that the next call builds it anew."""
    if folder.parent == cache_dir / "embedded":
        shutil.rmtree(folder, ignore_errors=True)


def _publish(build: Callable[[], Any], shelf: Path, folder: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=".building-", dir=shelf))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            build().save_pretrained(unfinished, safe_serialization=True)
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sweep_stale(shelf: Path) -> None:
    for left in shelf.glob(".building-*"):
        if time.time() - left.stat().st_mtime > STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def _klein() -> Any:
    text_config = transformers.Qwen3Config(
        vocab_size=264,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=28,  # the pipeline reads the layers 9, 18 and 27
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=48,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 16, 16, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=64
    )
    return diffusers.Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=transformers.Qwen3ForCausalLM(text_config).eval(),
        tokenizer=_qwen_tokenizer(),
        transformer=transformer.eval(),
        is_distilled=True,
    )


def _flux() -> Any:
    clip_config = transformers.CLIPTextConfig(
        vocab_size=514,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    t5_config = transformers.T5Config(
        vocab_size=264, d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return diffusers.FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=_flux_vae().eval(),
        text_encoder=transformers.CLIPTextModel(clip_config).eval(),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=transformers.T5EncoderModel(t5_config).eval(),
        tokenizer_2=_t5_tokenizer(),
        transformer=transformer.eval(),
    )


def _flux_vae() -> Any:
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.0609,
        scaling_factor=1.5035,
    )


def _qwen_tokenizer() -> Any:
    chat = ["<|im_start|>", "<|im_end|>"]
    symbols = [*_byte_symbols(), "<|endoftext|>", *chat]
    vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
    return transformers.Qwen2Tokenizer(
        vocab=vocabulary, merges=[], chat_template=CHAT_TEMPLATE, additional_special_tokens=chat, model_max_length=512
    )


def _clip_tokenizer() -> Any:
    symbols = _byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _t5_tokenizer() -> Any:
    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in letters)]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def _byte_symbols() -> list[str]:
    """Name the 256 bytes as byte-level BPE does: printable ones as themselves, the others from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (chr(256 + rank) for rank in range(256))
    return [chr(byte) if byte in printable else next(others) for byte in range(256)]


BUILDERS: dict[str, Callable[[], Any]] = {
    "Flux2KleinPipeline": _klein,
    "FluxPipeline": _flux,
    "LTX2DFRPipeline": talking,
}
