"""PyTorch's side of the bench of training: takes a step for every line it reads. Arguments: case, weights, threads, eager | compiled.

The model of packages/core/src/model in plain torch, with its fused kernels where it has them: RMSNorm,
scaled_dot_product_attention, AdamW.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

HEAD, PREFIX, SMOOTHING = 64, 48, 0.1


def say(message):
    print(json.dumps(message), flush=True)


def matrix_rate():
    a, b = torch.full((2048, 2048), 0.5), torch.full((2048, 2048), 0.5)
    best = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * 2048**3 / best


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def forward(w, case, ids, cos, sin, mask):
    B, T, P, H = case["sequences"], case["tokens"], case["p"], case["hiddenSize"]
    heads = H // HEAD
    norm = lambda x, name: F.rms_norm(x, (H,), w[f"{name}.weight"], 1e-6)
    x = F.embedding(ids, w["model.embed_tokens.weight"])
    x = x.repeat_interleave(P, 0)  # [B*P, T, H]
    for layer in range(case["layers"]):
        at = f"model.layers.{layer}"
        attention = f"{at}.self_attn"
        y = norm(x, f"{at}.input_layernorm")
        project = lambda n: F.linear(y, w[f"{attention}.{n}_proj.weight"], w[f"{attention}.{n}_proj.bias"])
        q, k, v = (project(n).view(B * P, T, heads, HEAD).transpose(1, 2) for n in "qkv")
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if P == 1:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            behind = lambda which, x: torch.cat((w[f"{attention}.prefix_{which}"].repeat(B, 1, 1, 1), x), 2)
            mixed = F.scaled_dot_product_attention(q, behind("k", k), behind("v", v), attn_mask=mask)
        x = x + F.linear(mixed.transpose(1, 2).reshape(B * P, T, H), w[f"{attention}.o_proj.weight"])
        y = norm(x, f"{at}.post_attention_layernorm")
        gate, up = (F.linear(y, w[f"{at}.mlp.{n}_proj.weight"]) for n in ("gate", "up"))
        x = x + F.linear(F.silu(gate) * up, w[f"{at}.mlp.down_proj.weight"])
    x = norm(x, "model.norm")
    if P > 1:
        x = x.view(B, P, T, H)
        at = "model.aggregate_layer"
        together = x.permute(0, 2, 3, 1).reshape(B, T, H * P)
        inner = F.silu(F.linear(together, w[f"{at}.0.weight"], w[f"{at}.0.bias"]))
        scores = F.linear(inner, w[f"{at}.2.weight"], w[f"{at}.2.bias"])
        shares = torch.softmax(scores, -1) * (1 - SMOOTHING) + SMOOTHING / P
        x = (x * shares.permute(0, 2, 1).unsqueeze(-1)).sum(1)
    return F.linear(x, w["model.embed_tokens.weight"])


def main():
    torch.set_num_threads(int(sys.argv[3]))
    # As ours: products may be of several bfloat16.
    torch.set_float32_matmul_precision("high")
    if sys.argv[1] == "rate":
        return say({"flopsPerSecond": matrix_rate()})
    case = json.loads(sys.argv[1])
    B, T, V = case["sequences"], case["tokens"], case["vocabSize"]
    w = {name: tensor.clone().requires_grad_() for name, tensor in load_file(sys.argv[2]).items()}
    groups = [
        {"params": [x for x in w.values() if x.dim() == 2], "weight_decay": 0.1},
        {"params": [x for x in w.values() if x.dim() != 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)
    angles = torch.outer(torch.arange(T).float(), 10_000.0 ** -(torch.arange(0, HEAD, 2) / HEAD))
    cos, sin = angles.cos(), angles.sin()
    mask = torch.cat((torch.ones(T, PREFIX), torch.tril(torch.ones(T, T))), 1).bool()
    run = torch.compile(forward) if sys.argv[4] == "compiled" else forward
    say({"ready": True})
    for number, _ in enumerate(sys.stdin, 1):
        i = torch.arange(B * (T + 1))
        ids = ((i * 7919 + number * 104_729 + (i % 977) ** 2) % V).view(B, T + 1)
        started = time.perf_counter()
        logits = run(w, case, ids[:, :-1], cos, sin, mask)
        loss = F.cross_entropy(logits.view(-1, V), ids[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ms = 1e3 * (time.perf_counter() - started)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        say({"ms": ms, "loss": loss.item(), "peakBytes": peak})


main()
