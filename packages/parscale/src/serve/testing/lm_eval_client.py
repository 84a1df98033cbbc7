"""PyPI's lm_eval against a server, as `--model local-completions` makes it: log-likelihoods and texts, as JSON."""
import json
import sys

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

base, tokenized = sys.argv[1], sys.argv[2] == "ids"
pairs = json.load(sys.stdin)
model = LocalCompletionsAPI(
    model="small",
    base_url=f"{base}/v1/completions",
    tokenizer_backend="remote",
    tokenized_requests=tokenized,
    num_concurrent=4,
    batch_size=1,
    max_length=512,
)
requests = [Instance("loglikelihood", {}, tuple(pair), i) for i, pair in enumerate(pairs)]
until = {"until": ["."], "max_gen_toks": 12, "temperature": 0, "do_sample": False}
texts = [Instance("generate_until", {}, (context, dict(until)), i) for i, (context, _) in enumerate(pairs)]
print(json.dumps({"scores": model.loglikelihood(requests), "texts": model.generate_until(texts)}))
