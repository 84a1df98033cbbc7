"""Answers what PyPI's tokenizers makes of texts. Reads one JSON object a line: {"tokenizer": JSON of tokenizer.json} makes
the tokenizer that the following lines mean, {"text": ...} asks it;
{"pattern": ..., "texts": [...]} asks what a regular expression matches,
{"normalizer": JSON of its type, "text": ...} what becomes of a text. Writes one JSON object a line for each."""

import json
import sys

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.decoders import DecodeStream


def streamed(tokenizer, prompt, ids):
    stream = DecodeStream(ids=prompt, skip_special_tokens=True) if prompt else DecodeStream(skip_special_tokens=True)
    try:
        return "".join(stream.step(tokenizer, each) or "" for each in ids)
    except Exception as error:  # "Invalid prefix encountered": later ids changed what was given out
        return {"error": str(error)}


def answer(tokenizer, text):
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(text, add_special_tokens=True).ids
    half = len(ids) // 2
    return {
        "plain": plain,
        "ids": ids,
        "decoded": tokenizer.decode(ids, skip_special_tokens=False),
        "skipped": tokenizer.decode(ids, skip_special_tokens=True),
        "before": tokenizer.decode(ids[:half], skip_special_tokens=True),
        "streamed": streamed(tokenizer, ids[:half], ids[half:]),
    }


def main():
    tokenizer = None
    for line in sys.stdin:
        request = json.loads(line)
        if "tokenizer" in request:
            tokenizer = None
            try:
                tokenizer = Tokenizer.from_str(request["tokenizer"])
                reply = {"made": True}
            except BaseException as error:
                reply = {"error": str(error)}
        elif "normalizer" in request:
            made = getattr(normalizers, json.loads(request["normalizer"])["type"])()
            reply = {"text": made.normalize_str(request["text"])}
        elif "pattern" in request:
            try:
                split = pre_tokenizers.Split(Regex(request["pattern"]), "isolated")
                replace = normalizers.Replace(Regex(request["pattern"]), "|")
                words = [[word for word, _ in split.pre_tokenize_str(text)] for text in request["texts"]]
                reply = {"words": words, "replaced": [replace.normalize_str(text) for text in request["texts"]]}
            except BaseException as error:
                reply = {"error": str(error)}
        else:
            try:
                reply = answer(tokenizer, request["text"])
            except BaseException as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


main()
