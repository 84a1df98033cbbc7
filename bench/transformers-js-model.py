"""SmolLM2 as transformers.js takes it: ONNX Runtime GenAI's export (GroupQueryAttention), its weights in 8 bits as `model_quantized`, which
is what transformers.js takes on WASM of itself, in 4 bits as `model_q4`, and in float32 as `model`. From the same GGUF file as the
other peers, but for its being in float32.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 numpy==2.4.6 gguf==0.19.0 accelerate \\
        onnx onnx-ir onnxruntime onnxruntime-genai==0.18.0
    venv/bin/python bench/transformers-js-model.py .cache/smollm2/SmolLM2-135M-Instruct.F32.gguf .cache/smollm2-onnx
"""
import json
import sys
import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime_genai.models.builder import create_model, parse_extra_options
from transformers import AutoModelForCausalLM, AutoTokenizer

gguf, out = Path(sys.argv[1]), Path(sys.argv[2])

with tempfile.TemporaryDirectory() as folder:
    work = Path(folder)
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = type(read.config)(**{k: v for k, v in read.config.to_dict().items() if k != "quantization_config"})
    # What was read from a GGUF file is not written by `save_pretrained`; another model of the same weights is.
    model = type(read)(config)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(work / "model")
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(work / "model")

    (out / "onnx").mkdir(parents=True, exist_ok=True)
    for precision, name in [("fp32", "model"), ("int4", "model_q4")]:
        asked = ["", str(work / "model"), str(work / precision), precision, "cpu", str(work / "cache")]
        # WASM has nothing for an embedding in 4 bits.
        create_model(*asked, **parse_extra_options(*asked, ["op_types_to_quantize=MatMul", "shared_embeddings=false"]))
        graph = onnx.load(work / precision / "model.onnx")
        # transformers.js makes the empty cache of the first step by these shapes, with 0 for a symbol.
        for value in [*graph.graph.input, *graph.graph.output]:
            if value.name.startswith(("past_key_values.", "present.")):
                value.type.tensor_type.shape.dim[3].dim_value = config.head_dim
        onnx.save(graph, out / "onnx" / f"{name}.onnx")
    quantize_dynamic(
        out / "onnx" / "model.onnx",
        out / "onnx" / "model_quantized.onnx",
        weight_type=QuantType.QInt8,
        extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True},
    )
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]:
        if (work / "model" / name).exists():
            (out / name).write_bytes((work / "model" / name).read_bytes())
    (out / "config.json").write_text(json.dumps(config.to_dict(), indent=2, default=str))
    print({path.name: path.stat().st_size for path in (out / "onnx").iterdir()})
