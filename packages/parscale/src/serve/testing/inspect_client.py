"""PyPI's inspect_ai against a server, as its provider for APIs like OpenAI's: an evaluation of one sample, as JSON."""
import json
import os
import sys
import tempfile

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

base, chat, expected = sys.argv[1:4]
os.environ["PARSCALE_API_KEY"] = "none"
task = Task(
    dataset=[Sample(input="What is the capital of France?", target=expected)],
    solver=generate(),
    scorer=includes(),
)
[log] = eval(
    task,
    model=f"openai-api/parscale/{chat}",
    model_base_url=base,
    display="none",
    log_dir=tempfile.mkdtemp(),
    temperature=0,
    max_tokens=16,
)
sample = log.samples[0]
print(
    json.dumps(
        {
            "status": log.status,
            "content": sample.output.completion,
            "score": sample.scores["includes"].value,
            "tokens": sample.output.usage.output_tokens,
        }
    )
)
