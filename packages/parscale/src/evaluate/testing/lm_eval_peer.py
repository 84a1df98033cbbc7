"""lm_eval itself: what it asks, and what it makes of a model's answers. A JSON of runs comes on stdin, one of results goes to stdout.

Each run has `task` (a file, or the name of one of lm_eval's own with `docs`, its data set by split), and lm_eval's options.
Without `model` (a Hugging Face folder) only requests come back; with `texts`, by document (of a task that repeats: by repeat), these
are judged as a model's.
"""

import functools
import json
import logging
import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("DISABLE_MULTIPROC", "1")
stdout = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import datasets  # noqa: E402
import evaluate as hf_evaluate  # noqa: E402

logging.disable(logging.WARNING)
real_load = datasets.load_dataset
docs = {}


def load_dataset(path=None, name=None, **kwargs):
    """A task's data set from `docs`, else as it is."""
    if docs:
        return datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in docs.items()})
    return real_load(path=path, name=name, **kwargs)


datasets.load_dataset = load_dataset


class CodeEval:
    """In place of the hub's `code_eval`, which is Python that would be pulled and would run programs: nothing passes."""

    def compute(self, references, predictions, k):
        return {f"pass@{each}": 0.0 for each in k}, {}


real_metric = hf_evaluate.load
hf_evaluate.load = lambda name, *args, **kwargs: CodeEval() if name == "code_eval" else real_metric(name, *args, **kwargs)

from lm_eval.evaluator import evaluate  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from lm_eval.tasks._yaml_loader import load_yaml  # noqa: E402


@functools.cache
def manager():
    """It reads all task files there are."""
    return TaskManager()


def task_of(run):
    """The task, with few-shot as `simple_evaluate` sets it."""
    docs.clear()
    docs.update(run.get("docs", {}))
    if run["task"].endswith(".yaml"):
        folder = os.getcwd()
        os.chdir(os.path.dirname(run["task"]))
        from lm_eval.api.task import ConfigurableTask

        task = ConfigurableTask(config=load_yaml(run["task"]))
        os.chdir(folder)
    else:
        task = manager().load([run["task"]])["tasks"][run["task"]]
    shots = run.get("num_fewshot")
    if shots is not None and task.config.num_fewshot != 0:
        task.set_config("num_fewshot", shots)
    if task.config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    task.set_fewshot_seed(run.get("seed", 1234))
    return task


def requests_of(run):
    task = task_of(run)
    task.build_all_requests(limit=run.get("limit"))
    return [[instance.doc_id, list(instance.args)] for instance in task.instances]


def written(texts):
    """A model that has written all of it already."""
    from lm_eval.api.model import LM

    class Written(LM):
        def generate_until(self, requests):
            left = [list(each) if isinstance(each, list) else None for each in texts]
            return [texts[request.doc_id] if left[request.doc_id] is None else left[request.doc_id].pop(0) for request in requests]

        def loglikelihood(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    return Written()


def main():
    given = json.load(sys.stdin)
    models = {}
    found = []
    for run in given["runs"]:
        path = run.get("model")
        dtype = run.get("dtype", "float32")
        if run.get("texts") is not None:
            path = "written"
            models[path, dtype] = written(run["texts"])
        if path is None:
            found.append({"requests": requests_of(run)})
            continue
        if (path, dtype) not in models:
            import torch
            from lm_eval.models.huggingface import HFLM
            from transformers import PreTrainedTokenizerFast

            torch.set_num_threads(2)
            # AutoTokenizer of transformers 5 puts a class' own rules in the place of those in tokenizer.json.
            tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
            models[path, dtype] = HFLM(
                pretrained=path, tokenizer=tokenizer, device="cpu", dtype=dtype, batch_size=run.get("batch_size", 4)
            )
        task = task_of(run)
        name = task.config.task
        started, used = time.perf_counter(), time.process_time()
        results = evaluate(
            models[path, dtype],
            {"tasks": {name: task}, "groups": {}, "group_map": {}},
            limit=run.get("limit"),
            bootstrap_iters=run.get("bootstrap_iters", 100000),
            apply_chat_template=run.get("chat", False),
            fewshot_as_multiturn=run.get("multiturn", False),
            confirm_run_unsafe_code=True,
        )
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - used
        samples = [
            {key: sample[key] for key in ("doc_id", "filter", "arguments", "resps", "filtered_resps", "target", "doc_hash", "prompt_hash", "target_hash", *sample["metrics"])}
            for sample in results["samples"][name]
        ]
        found.append({"results": results["results"][name], "samples": samples, "seconds": seconds, "cpu_seconds": cpu_seconds})
    json.dump(found, stdout, default=lambda value: value.item() if hasattr(value, "item") else str(value))


main()
