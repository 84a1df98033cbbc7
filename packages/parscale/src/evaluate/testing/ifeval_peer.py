"""IFEval's checks as lm_eval 0.4.13 has them, on responses made up near each instruction: a line of JSON for each on stdout.

    PYTHON ifeval_peer.py PER_KIND SEED [LANGUAGES.json]
    PYTHON ifeval_peer.py texts < TEXTS.jsonl       of each text its number of sentences and its language

PYTHON is that of the environment `ifeval`. NLTK's sentence model comes from the wheel of llama-index-core, which carries it.
"""

import glob
import json
import logging
import os
import random
import subprocess
import sys
import zipfile

home = os.path.join(sys.prefix, "nltk_data")
if not os.path.isdir(os.path.join(home, "tokenizers", "punkt_tab", "english")):
    wheels = os.path.join(sys.prefix, "wheels")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, "llama-index-core==0.14.25"],
        check=True,
        stdout=sys.stderr,
    )
    inside = "llama_index/core/_static/nltk_cache/"
    with zipfile.ZipFile(glob.glob(os.path.join(wheels, "llama_index_core-*.whl"))[0]) as wheel:
        for name in wheel.namelist():
            if name.startswith(inside + "tokenizers/punkt_tab/english/") and not name.endswith("/"):
                target = os.path.join(home, name[len(inside) :])
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as file:
                    file.write(wheel.read(name))
os.environ["NLTK_DATA"] = home

import langdetect  # noqa: E402
from lm_eval.tasks.ifeval import instructions_util, utils  # noqa: E402

langdetect.DetectorFactory.seed = 0
logging.disable(logging.CRITICAL)

if sys.argv[1] == "texts":
    for line in sys.stdin:
        given = json.loads(line)
        print(json.dumps([instructions_util.count_sentences(given), langdetect.detect(given)]))
    sys.exit()

per_kind, seed = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
languages = json.load(open(sys.argv[3], encoding="utf-8")) if len(sys.argv) > 3 else {}

WORDS = """time year people way day thing man world life hand part child eye woman place work week case point company number
group problem fact Paris London Monday Dr Smith Acme river don't can't it's we'll cannot gonna ÉCOLE Straße naïve 3 42 1,000 2.5
the a of to and in is was for on that with as his they at be this from or had by not word but what some we""".split()
ABBREVIATIONS = ["Dr.", "Mr.", "Mrs.", "e.g.", "i.e.", "etc.", "U.S.", "p.m.", "a.m.", "Inc.", "St.", "vs.", "J.", "No.", "J. R.", "Ph.D.", "3.", "1.", "Jan."]
ENDS = [".", ".", ".", ".", "!", "?", "...", '."', ".)", ". . .", "?!", "!!", ":", ";", ".”", ""]
MARKS = ["*", "**", "***", "******", "-", "- ", "* ", "#", "[x]", "[your name]", "<<title>>", "<<", ">>", "\n", "\n\n", '"', "'", ",", "`", "```",
         "P.S.", "P.P.S", "p. s.", "Section 1", "SECTION 2", "\t", " ", "\u00a0", "\u3000", "{", "}", "[", "]", "--", "—", "“", "”", "(", ")"]


def word():
    found = rng.choice(WORDS)
    return rng.choice([found, found, found, found.upper(), found.capitalize(), found.lower()])


def sentence():
    parts = [word() for _ in range(rng.randint(1, 10))]
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        parts.insert(rng.randint(0, len(parts)), rng.choice(ABBREVIATIONS))
    if rng.random() < 0.3:
        parts.insert(rng.randint(0, len(parts)), rng.choice(MARKS))
    if rng.random() < 0.7:
        parts[0] = parts[0][:1].upper() + parts[0][1:]
    return " ".join(parts) + rng.choice(ENDS)


def text(most=8):
    joined = ""
    for _ in range(rng.randint(0, most)):
        joined += sentence() + rng.choice([" ", " ", " ", "  ", "\n", "\n\n", "", " \n"])
    return joined


def around(*parts):
    """Parts that matter, in text or alone."""
    made = ""
    for part in parts:
        made += rng.choice(["", "", text(2), "\n", " "]) + part
    return made + rng.choice(["", "", text(2), "\n", " "])


def several(make, most=5):
    return [make() for _ in range(rng.randint(0, most))]


def relation():
    return rng.choice(["less than", "at least"])


def changed(part):
    return rng.choice([part, part, part.upper(), part.lower(), part[:-1], part + ".", " " + part, part.replace(" ", "  ")])


def near(kind):
    """Fields of an instruction and a response that may follow it."""
    if kind == "keywords:existence":
        words = [word() for _ in range(rng.randint(1, 3))]
        return {"keywords": words}, around(*[changed(each) for each in words if rng.random() < 0.85])
    if kind == "keywords:frequency":
        key = word()
        return {"keyword": key, "frequency": rng.randint(1, 4), "relation": relation()}, around(*several(lambda: changed(key)))
    if kind == "keywords:forbidden_words":
        words = [word() for _ in range(rng.randint(1, 3))]
        return {"forbidden_words": words}, around(*[rng.choice([changed(each), "x" + each, each + "s", each + "_"]) for each in words if rng.random() < 0.3])
    if kind == "keywords:letter_frequency":
        return {"letter": rng.choice("aeiouxzQ"), "let_frequency": rng.randint(1, 20), "let_relation": relation()}, text()
    if kind == "length_constraints:number_sentences":
        return {"num_sentences": rng.randint(1, 8), "relation": relation()}, text(8)
    if kind == "length_constraints:number_paragraphs":
        wanted = rng.randint(1, 4)
        parts = [text(2) for _ in range(max(1, wanted + rng.choice([0, 0, 0, 1, -1])))]
        return {"num_paragraphs": wanted}, rng.choice(["", "***\n"]) + rng.choice(["\n***\n", "***", " *** ", "\n\n***\n\n", "* * *"]).join(parts) + rng.choice(["", "\n***", "***\n"])
    if kind == "length_constraints:number_words":
        made = text(6)
        return {"num_words": max(1, len(made.split()) + rng.randint(-3, 3)), "relation": relation()}, made
    if kind == "length_constraints:nth_paragraph_first_word":
        wanted = rng.randint(1, 4)
        nth = rng.randint(1, wanted)
        first = word()
        parts = [sentence() for _ in range(max(1, wanted + rng.choice([0, 0, 0, 0, 1, -1])))]
        if nth <= len(parts):
            parts[nth - 1] = rng.choice(["", "", "'", '"', "“", " "]) + changed(first) + rng.choice([" ", ", ", "'s ", "! ", "- "]) + parts[nth - 1]
        return {"num_paragraphs": wanted, "nth_paragraph": nth, "first_word": first}, rng.choice(["\n\n", "\n\n", "\n\n", "\n\n\n", "\n", "\n\n\n\n"]).join(parts)
    if kind == "detectable_content:number_placeholders":
        return {"num_placeholders": rng.randint(1, 4)}, around(*several(lambda: rng.choice(["[name]", "[]", "[a\nb]", "[[x]]", "[x", "]", "(name)", "[a b]"])))
    if kind == "detectable_content:postscript":
        marker = rng.choice(["P.S.", "P.P.S", "PS", "Note:"])
        return {"postscript_marker": marker}, around(rng.choice([changed(marker), "p. s.", "P.p.s", "P. P. S.", "p.s", "P .S.", "", "ps"]))
    if kind == "detectable_format:number_bullet_lists":
        lines = several(lambda: rng.choice(["* ", "- ", "  * ", "\t- ", "** ", "*", "-", "*-", "--", "• ", "1. "]) + sentence(), 6)
        return {"num_bullets": rng.randint(1, 5)}, rng.choice(["", text(1) + "\n"]) + rng.choice(["\n", "\n\n", "\r\n", " \n"]).join(lines)
    if kind == "detectable_format:constrained_response":
        return {}, around(changed(rng.choice(["My answer is yes.", "My answer is no.", "My answer is maybe.", "my answer is yes."])))
    if kind == "detectable_format:number_highlighted_sections":
        return {"num_highlights": rng.randint(1, 4)}, around(*several(lambda: rng.choice(["*a b*", "**bold**", "* *", "****", "***x***", "*a\nb*", "** **", "*", "*x"])))
    if kind == "detectable_format:multiple_sections":
        splitter = rng.choice(["Section", "SECTION", "PARAGRAPH", "Day", "Audience:"])
        return {"section_spliter": splitter, "num_sections": rng.randint(1, 4)}, around(*several(lambda: rng.choice([f"{splitter} {rng.randint(1, 12)}", f"\n{splitter}{rng.randint(1, 9)}\n", f"{splitter} X", splitter.lower() + " 1", f"{splitter}  3", f"{splitter}\n4"])))
    if kind == "detectable_format:json_format":
        value = rng.choice([{"a": [1, 2.5, None, "x\n\"y\""]}, [], "text", 3, {"b": {"c": True}}, [float("nan"), float("inf"), -float("inf")]])
        body = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 2]))
        body = rng.choice([body, body, body, body[:-1], body.replace('"', "'"), body + ",", "NaN", "01", "-Infinity", "\ufeff" + body, '"a\tb"', "{'a': 1}", "1 2", "[1,]", '"\\x41"', "-NaN", "true", "True"])
        before, after = rng.choice([("", ""), ("```json\n", "\n```"), ("```", "```"), ("```JSON\n", "```\n"), ("```js\n", "```"), ("Sure:\n", ""), (" \n", " "), ("```json\n```", "```"), ("", "\nHope it helps")])
        return {}, before + body + after
    if kind == "detectable_format:title":
        return {}, around(rng.choice(["<<A title>>", "<<>>", "<< >>", "<<<x>>>", "<<a\nb>>", "<a>", "<<a>", "<<a>> <<b>>", "<<<>>>", ""]))
    if kind == "combination:two_responses":
        parts = [rng.choice([text(1), text(1), "same", " same", ""]) for _ in range(rng.choice([1, 2, 2, 2, 3]))]
        return {}, rng.choice(["", "", "******"]) + rng.choice(["******", "\n******\n", "*****", "*******"]).join(parts) + rng.choice(["", "", "******"])
    if kind == "combination:repeat_prompt":
        prompt = sentence() + " " + sentence()
        return {"prompt_to_repeat": prompt}, rng.choice(["", "", " ", "\n", "Sure! "]) + changed(prompt) + rng.choice(["", " " + text(2)])
    if kind == "startend:end_checker":
        phrase = rng.choice([sentence(), "Any other questions?", "Is there anything else I can help with?", " That is all. "])
        return {"end_phrase": phrase}, text(2) + changed(phrase) + rng.choice(["", "", '"', "\n", " ", "'", " Bye."])
    if kind == "startend:quotation":
        return {}, rng.choice(["", '"', '" ', "“", "'"]) + text(2) + rng.choice(["", '"', ' "', "”", '"\n'])
    if kind == "change_case:capital_word_frequency":
        made = text(5)
        return {"capital_frequency": rng.randint(1, 12), "capital_relation": relation()}, made
    if kind in ("change_case:english_capital", "change_case:english_lowercase"):
        made = rng.choice(languages.get("en", [text()]) + [rng.choice(languages[code]) for code in ("de", "fr", "ru", "hi") if code in languages])
        return {}, rng.choice([made.upper(), made.upper(), made.lower(), made.lower(), made, made.upper() + " a", made.lower() + " A", "123 !?"])
    if kind == "language:response_language":
        code = rng.choice(list(languages))
        # Of a list that begins with "1." a letter or two is left; so is of a text in no language.
        return {"language": rng.choice([code, code, rng.choice(list(languages))])}, rng.choice(languages[code])
    if kind == "punctuation:no_comma":
        return {}, rng.choice([text(3), text(3).replace(",", ""), text(1).replace(",", "،")])
    raise KeyError(kind)


for kind in sorted(utils.instructions_registry.INSTRUCTION_DICT):
    if kind == "language:response_language" and not languages:
        continue
    for _ in range(per_kind):
        fields, response = near(kind)
        doc = {"key": 0, "prompt": "", "instruction_id_list": [kind], "kwargs": [fields]}
        try:
            found = utils.process_results(doc, [response])
        except Exception as error:  # a pattern that is none
            print(json.dumps({"kind": kind, "error": str(error), "fields": fields, "response": response}))
            continue
        print(json.dumps({"kind": kind, "fields": fields, "response": response, "strict": int(found["prompt_level_strict_acc"]), "loose": int(found["prompt_level_loose_acc"])}))
