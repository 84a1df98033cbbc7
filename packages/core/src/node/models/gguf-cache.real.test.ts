/** SmolLM2-135M-Instruct, Q4_1, from its file to a folder: against PyPI's gguf, and by two processes at once. */
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readChunks } from '../../checkpoint/read-tensor.ts'
import { openModelPath } from './open-model.ts'

const root = fileURLToPath(new URL('../../../../../', import.meta.url))
const printed = (script: string, ...args: string[]) =>
  execFileSync('node', [join('scripts', script), ...args], { cwd: root, encoding: 'utf8' }).trim()

/** Prints the SHA-256 of every tensor as float32, under Hugging Face's names and in its row order. */
const python = `
import hashlib, json, sys
import numpy as np
from gguf import GGUFReader, MODEL_ARCH, dequantize, get_tensor_name_map
reader = GGUFReader(sys.argv[1])
names = {}
table = get_tensor_name_map(MODEL_ARCH.LLAMA, 30)
for hf in ["model.embed_tokens", "model.norm"] + [f"model.layers.{i}.{p}" for i in range(30) for p in (
    "input_layernorm", "post_attention_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
    "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]:
    names[table.get_name(hf) + ".weight"] = hf + ".weight"
hashes = {}
for tensor in reader.tensors:
    weights = dequantize(tensor.data, tensor.tensor_type)
    heads = {"attn_q": 9, "attn_k": 3}.get(tensor.name.split(".")[-2])
    if heads:
        rows = weights.shape[0]
        weights = weights.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows, -1)
    hashes[names[tensor.name]] = hashlib.sha256(np.ascontiguousarray(weights, dtype=np.float32).tobytes()).hexdigest()
print(json.dumps(hashes))
`

let gguf: string
let scratch: string
beforeAll(async () => {
  gguf = printed('fetch-smollm2.mjs')
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
})
afterAll(() => rm(scratch, { recursive: true }))

it('two processes at once make one folder, whose every tensor is what gguf dequantises', async () => {
  const cacheDirectory = join(scratch, 'cache')
  const code = `import { ggufFolder } from ${JSON.stringify(new URL('./gguf-cache.ts', import.meta.url).href)}
    console.log(await ggufFolder(...${JSON.stringify([gguf, { cacheDirectory }])}))`
  const run = () => promisify(execFile)('node', ['--import', 'tsx', '--input-type=module', '-e', code], { cwd: root })
  const folders = (await Promise.all([run(), run()])).map(({ stdout }) => stdout.trim())
  expect(folders[0]).toBe(folders[1])
  expect(await readdir(join(cacheDirectory, 'gguf'))).toHaveLength(1)

  const interpreter = printed('python-env.mjs', 'gguf')
  const expected: Record<string, string> = JSON.parse(execFileSync(interpreter, ['-c', python, gguf], { encoding: 'utf8' }))
  const model = await openModelPath(gguf, { cacheDirectory })
  expect(model.path).toBe(folders[0])
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja']) {
    expect(await model.readText(name), name).toMatch(/<\|im_start\|>/)
  }
  const found: Record<string, string> = {}
  for (const [name, tensor] of model.tensors) {
    const hash = createHash('sha256')
    for await (const bytes of readChunks(tensor)) hash.update(bytes)
    found[name] = hash.digest('hex')
  }
  await model.close()
  expect(Object.keys(expected)).toHaveLength(272)
  expect(found).toEqual(expected)
})
