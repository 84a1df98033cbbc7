"""GGUF files for the peer: what llama.cpp computes without quantised weights, and shapes that no file at hand has.

    python bench/make-gguf.py dequantise IN.gguf OUT.gguf        the same model with every weight in F32; --type bf16: matrices in BF16
    python bench/make-gguf.py random OUT.gguf --layers 24 ...    a random Qwen2 of a given shape, defaults as Qwen2.5-0.5B;
                                                                 --type q8_0, q4_0 or bf16: matrices so
    python bench/make-gguf.py folder FOLDER OUT.gguf             a Llama or Qwen2 in F32, as transformers writes it, in one file;
                                                                 its tokens are placeholders

Runs in the environment `gguf` of scripts/python-env.mjs. Random weights serve speed only.
"""

import argparse
import json
import os
import struct

import gguf
import numpy as np


def copy_metadata(reader, writer):
    """Everything but what the writer writes itself and what speaks of the quantisation."""
    skipped = {"general.architecture", "general.file_type", "general.quantization_version"}
    for field in reader.fields.values():
        if field.name in skipped or field.name.startswith("GGUF."):
            continue
        element_type = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=element_type)


def add_floats(writer, name, weights, kind):
    """Matrices in bfloat16 where that is asked for; vectors stay floats, as llama.cpp has them."""
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    if kind == "bf16" and weights.ndim > 1:
        bf16 = gguf.GGMLQuantizationType.BF16
        writer.add_tensor(name, gguf.quants.quantize(weights, bf16), raw_dtype=bf16)
    else:
        writer.add_tensor(name, weights)


def dequantise(source, target, kind):
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(target, architecture)
    copy_metadata(reader, writer)
    writer.add_file_type(file_types[kind])
    for tensor in reader.tensors:
        add_floats(writer, tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type), kind)
    finish(writer)


file_types = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}


def random_blocks(generator, kind, count):
    """Blocks of 32 weights: a half-precision scale, then uniform codes of 8 or 4 bits; standard deviation about 0.02."""
    code_bytes = {"q8_0": 32, "q4_0": 16}[kind]
    scale = {"q8_0": 0.07 / 256, "q4_0": 0.07 / 16}[kind]
    blocks = generator.integers(0, 256, (count, 2 + code_bytes), dtype=np.uint8)
    scales = (scale * (0.5 + generator.random(count, dtype=np.float32))).astype(np.float16)
    blocks[:, :2] = scales.view(np.uint8).reshape(count, 2)
    return blocks


def random(target, shape):
    """A Qwen2 with tied embeddings and a placeholder vocabulary of as many tokens as asked for."""
    writer = gguf.GGUFWriter(target, "qwen2")
    writer.add_block_count(shape.layers)
    writer.add_context_length(32768)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(file_types[shape.type])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"t{i}" for i in range(shape.vocabulary)])
    writer.add_token_types([gguf.TokenType.NORMAL] * shape.vocabulary)
    writer.add_token_merges(["t 0"])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)

    generator = np.random.default_rng(1)
    kv = shape.kv_heads * shape.hidden // shape.heads

    def matrix(name, rows, columns):
        if shape.type in ("f32", "bf16"):
            weights = generator.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.02)
            add_floats(writer, f"{name}.weight", weights, shape.type)
        else:
            blocks = random_blocks(generator, shape.type, rows * columns // 32).reshape(rows, -1)
            writer.add_tensor(f"{name}.weight", blocks, raw_dtype=gguf.GGMLQuantizationType[shape.type.upper()])

    def vector(name, length, value):
        writer.add_tensor(name, np.full(length, value, dtype=np.float32))

    matrix("token_embd", shape.vocabulary, shape.hidden)
    vector("output_norm.weight", shape.hidden, 1)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        vector(f"{block}.attn_norm.weight", shape.hidden, 1)
        vector(f"{block}.ffn_norm.weight", shape.hidden, 1)
        for name, rows in (("attn_q", shape.hidden), ("attn_k", kv), ("attn_v", kv)):
            matrix(f"{block}.{name}", rows, shape.hidden)
            vector(f"{block}.{name}.bias", rows, 0)
        matrix(f"{block}.attn_output", shape.hidden, shape.hidden)
        matrix(f"{block}.ffn_gate", shape.intermediate, shape.hidden)
        matrix(f"{block}.ffn_up", shape.intermediate, shape.hidden)
        matrix(f"{block}.ffn_down", shape.hidden, shape.intermediate)
    finish(writer)


# Hugging Face's names and llama.cpp's (gguf-py/gguf/tensor_mapping.py).
layer_names = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        if tensor["dtype"] != "F32":
            raise SystemExit(f"{path}: {name} is {tensor['dtype']}; convert with --dtype f32")
        start, end = tensor["data_offsets"]
        yield name, np.frombuffer(data[start:end], dtype=np.float32).reshape(tensor["shape"])


def permuted(rows, heads):
    """llama.cpp rotates neighbouring pairs (convert_hf_to_gguf.py, LlamaModel.permute)."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))


def folder(source, target):
    with open(os.path.join(source, "config.json")) as file:
        config = json.load(file)
    architecture = config["model_type"]
    if architecture not in ("llama", "qwen2"):
        raise SystemExit(f"{source}: model_type is {architecture}, and this knows llama and qwen2")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(target, architecture)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"t{i}" for i in range(config["vocab_size"])])
    writer.add_token_types([gguf.TokenType.NORMAL] * config["vocab_size"])
    writer.add_token_merges(["t 0"])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    whole = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for name, values in read_safetensors(os.path.join(source, "model.safetensors")):
        module, kind = name.rsplit(".", 1)
        if module in whole:
            writer.add_tensor(f"{whole[module]}.{kind}", values)
            continue
        layer, role = module.removeprefix("model.layers.").split(".", 1)
        if architecture == "llama" and role in ("self_attn.q_proj", "self_attn.k_proj"):
            values = permuted(values, heads if role == "self_attn.q_proj" else kv_heads)
        writer.add_tensor(f"blk.{layer}.{layer_names[role]}.{kind}", values)
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    copy = commands.add_parser("dequantise")
    copy.add_argument("source")
    copy.add_argument("target")
    copy.add_argument("--type", choices=["f32", "bf16"], default="f32")
    one = commands.add_parser("folder")
    one.add_argument("source")
    one.add_argument("target")
    make = commands.add_parser("random")
    make.add_argument("target")
    defaults = dict(layers=24, hidden=896, intermediate=4864, heads=14, kv_heads=2, vocabulary=151936)
    make.add_argument("--type", choices=list(file_types), default="f32")
    for name, value in defaults.items():
        make.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    options = parser.parse_args()
    if options.command == "dequantise":
        dequantise(options.source, options.target, options.type)
    elif options.command == "folder":
        folder(options.source, options.target)
    else:
        random(options.target, options)


if __name__ == "__main__":
    main()
