"""The training objective of packages/core/src/training/step/aids.ts in plain PyTorch, in float64: what streams and aids do, written
again from their formulas. Cases come as JSON on stdin (packages/native/test/training-aids.nightly.test.ts); loss, objective and its
gradients go out as JSON."""

import json
import sys

import torch
import torch.nn.functional as F


def rotate(x, theta):
    T, D = x.shape[-2:]
    angles = torch.outer(torch.arange(T).double(), theta ** -(torch.arange(0, D, 2).double() / D))
    a, b = x.chunk(2, -1)
    return torch.cat((a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()), -1)


def objective(case, w, feeds):
    c, s, aids = case["config"], case["streams"], case["aids"]
    B, T, P, H = case["sequences"], case["tokens"], s["n"], c["hiddenSize"]
    heads, groups, D = c["numAttentionHeads"], c["numKeyValueHeads"], c["headDim"]
    own = lambda name: w.get(name)  # a stream's tensor, [P, ...], against [B, P, T, ...]

    def linear(x, name, read_as):
        scale = own(f"{read_as}.stream_input_scale")
        x = x if scale is None else x * scale
        y = F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))
        scale, bias = own(f"{name}.stream_output_scale"), own(f"{name}.stream_bias")
        y = y if scale is None else y * scale
        if own(f"{name}.lora_A") is not None:
            y = y + torch.einsum("bpti,pri,por->bpto", x, own(f"{name}.lora_A"), own(f"{name}.lora_B"))
        return y if bias is None else y + bias

    def norm(x, name):
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + c["rmsNormEps"]) * w[f"{name}.weight"]
        gain = own(f"{name}.stream_gain")
        return y if gain is None else y * gain

    def dropped(y, layer, branch):
        mask = feeds.get(f"dropout.{layer}.{branch}")
        return y if mask is None else y * mask.view(P, B, T, H).transpose(0, 1)  # rows are [P, B]

    x = F.embedding(feeds["input_ids"], w["model.embed_tokens.weight"]).unsqueeze(1).expand(B, P, T, H)
    if own("model.embed_tokens.stream_output_scale") is not None:
        x = x * own("model.embed_tokens.stream_output_scale") + own("model.embed_tokens.stream_bias")
    for layer in range(c["numHiddenLayers"]):
        at = f"model.layers.{layer}"
        y = norm(x, f"{at}.input_layernorm")
        q, k, v = (linear(y, f"{at}.self_attn.{n}_proj", f"{at}.self_attn.qkv_proj") for n in "qkv")
        q = rotate(q.view(B, P, T, heads, D).transpose(2, 3), c["ropeTheta"])
        k = rotate(k.view(B, P, T, groups, D).transpose(2, 3), c["ropeTheta"])
        v = v.view(B, P, T, groups, D).transpose(2, 3)
        mask = torch.tril(torch.ones(T, T, dtype=torch.bool))
        # Where not the stream's own keys and values are attended to, but the first stream's.
        far = torch.tril(torch.ones(T, T, dtype=torch.bool), -(s["ownWindow"] or T))
        if "prefix" in s["input"]:
            k, v = (
                torch.cat((own(f"{at}.self_attn.prefix_{n}").expand(B, -1, -1, -1, -1), x), 3) for n, x in (("k", k), ("v", v))
            )
            mask = torch.cat((torch.ones(T, s["nTokens"], dtype=torch.bool), mask), 1)
            far = torch.cat((torch.zeros(T, s["nTokens"], dtype=torch.bool), far), 1)
        k, v = (x.repeat_interleave(heads // groups, 2) for x in (k, v))
        products = torch.where(far, q @ k[:, :1].transpose(-1, -2), q @ k.transpose(-1, -2))
        scores = products / D**0.5
        if own("model.prefix_gate") is not None:
            opened = (own("model.prefix_gate") ** 2 + 1e-30).log().view(P, 1, 1, 1) / 2
            scores = torch.cat((scores[..., : s["nTokens"]] + opened, scores[..., s["nTokens"] :]), -1)
        shares = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        mixed = (shares * ~far @ v + shares * far @ v[:, :1]).transpose(2, 3).reshape(B, P, T, heads * D)
        x = x + dropped(linear(mixed, f"{at}.self_attn.o_proj", f"{at}.self_attn.o_proj"), layer, "attention")
        y = norm(x, f"{at}.post_attention_layernorm")
        gate, up = (linear(y, f"{at}.mlp.{n}_proj", f"{at}.mlp.gate_up_proj") for n in ("gate", "up"))
        x = x + dropped(linear(F.silu(gate) * up, f"{at}.mlp.down_proj", f"{at}.mlp.down_proj"), layer, "mlp")
    h = norm(x, "model.norm").transpose(1, 2)  # [B, T, P, H]

    targets = feeds["targets"].view(B, T)
    counts = feeds["loss_weights"].view(B, T)
    logprobs = lambda hidden: F.linear(hidden, w["model.embed_tokens.weight"]).log_softmax(-1)
    picked = lambda logp, index: -logp.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    if P == 1:
        loss = (picked(logprobs(h[:, :, 0]), targets) * counts).sum()
        return loss, loss
    e = feeds["smoothing"] if aids.get("smoothing") else s["attnSmooth"]
    kept = feeds.get("first_streams", torch.ones(B, P, dtype=torch.float64)).view(B, 1, P)
    evenly = (kept / kept.sum(-1, keepdim=True)).expand(B, T, P)
    if s["aggregation"] == "average":
        given = evenly
    else:
        at = "model.aggregate_layer"
        if s["aggregation"] == "static":
            scores = w[f"{at}.logits"].expand(B, T, P)
        else:
            inner = F.silu(F.linear((h * kept.unsqueeze(-1)).transpose(2, 3).reshape(B, T, H * P), w[f"{at}.0.weight"], w[f"{at}.0.bias"]))
            scores = F.linear(inner, w[f"{at}.2.weight"], w[f"{at}.2.bias"])
        given = (scores + kept.log()).softmax(-1) * (1 - e) + e * evenly
    weights = given
    if "kept_streams" in feeds:
        weights = weights * (feeds["kept_streams"] == 1).unsqueeze(1)
        weights = weights / weights.sum(-1, keepdim=True)
    if "domain_streams" in feeds:
        left = weights * feeds["domain_streams"].view(B, T, P)
        weights = left / left.sum(-1, keepdim=True)
    alone = picked(logprobs(h), targets.unsqueeze(-1).expand(B, T, P))  # [B, T, P]
    if s["merge"] == "hidden":
        surprisals = picked(logprobs((weights.unsqueeze(-1) * h).sum(2)), targets)
    else:
        surprisals = -(weights * (-alone).exp()).sum(-1).log()
    loss = (surprisals * counts).sum()
    total = loss
    if "domain_streams" in feeds:
        total = total - 0.1 * (left.sum(-1).log() * counts).sum()
    if aids.get("balance") and s["aggregation"] == "dynamic":
        importance = (given * counts.unsqueeze(-1)).sum((0, 1)) / counts.sum()
        total = total + aids["balance"] * importance.var(unbiased=False) / importance.mean() ** 2 * counts.sum()
    if aids.get("decorrelate"):
        share = (counts / counts.sum()).view(B, T, 1, 1)
        centred = h - (h * share).sum((0, 1))
        z = centred / ((centred**2 * share).sum((0, 1)) + 1e-6).sqrt()
        pairs = [(p, q) for p in range(P) for q in range(p)]
        cosines = torch.stack([F.cosine_similarity(z[:, :, p], z[:, :, q], dim=-1) ** 2 for p, q in pairs])
        total = total + aids["decorrelate"] * (cosines.mean(0) * counts).sum()
    if aids.get("ownLoss"):
        total = total + aids["ownLoss"] * ((alone.mean(-1) * counts).sum() - loss)
    return loss, total


def array(stored, whole=("input_ids", "targets")):
    return {
        name: torch.tensor(data, dtype=torch.int64 if name in whole else torch.float64).view(shape)
        for name, (shape, data) in stored.items()
    }


results = {}
for name, case in json.load(sys.stdin).items():
    w = {tensor: x.requires_grad_() for tensor, x in array(case["parameters"]).items()}
    loss, total = objective(case, w, array(case["feeds"]))
    total.backward()
    gradients = {tensor: x.grad.flatten().tolist() for tensor, x in w.items()}
    results[name] = {"loss": loss.item(), "objective": total.item(), "gradients": gradients}
json.dump(results, sys.stdout)
