/** PyPI's safetensors reads what is exported: names, shapes, types, values, and the metadata that transformers insists on. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../../scripts/python-env.mjs'
import { isTied, readF32 } from '../../checkpoint/index.ts'
import { backboneParameters, streamParameters } from '../../model/index.ts'
import { fixturesFolder } from '../../testing/fixtures.ts'
import { exportModel, openModelFolder } from '../index.ts'

const script = `
import json, sys
from safetensors.numpy import load_file
from safetensors import safe_open
source, target = sys.argv[1:]
with safe_open(target, 'np') as f: metadata = f.metadata()
a, b = load_file(source), load_file(target)
print(json.dumps({
    'metadata': metadata,
    'names': sorted(b.keys()) == sorted(a.keys()),
    'types': sorted({str(x.dtype) for x in b.values()}),
    'equal': all(x.shape == b[n].shape and (x.astype(b[n].dtype) == b[n]).all() for n, x in a.items()),
}))`

it.each([
  ['F32', 'float32'],
  ['F16', 'float16'],
] as const)('a model exported in %s', async (dtype, numpyName) => {
  const source = `${fixturesFolder}goldens/parscale-p4`
  const folder = mkdtempSync(join(tmpdir(), 'parscale-export-'))
  const open = await openModelFolder(source)
  try {
    const { config, tensors } = open
    const tied = isTied(open)
    const parameters = new Map<string, Float32Array>()
    for (const { name } of [...backboneParameters(config, tied), ...streamParameters(config)])
      parameters.set(name, await readF32(tensors.get(name)!))
    const target = join(folder, 'model')
    await exportModel(target, { config, tied, parameters }, { dtype })
    const files = [source, target].map((path) => join(path, 'model.safetensors'))
    const found = JSON.parse(execFileSync(pythonEnvironment('safetensors'), ['-c', script, ...files], { encoding: 'utf8' }))
    expect(found).toEqual({ metadata: { format: 'pt' }, names: true, types: [numpyName], equal: true })
  } finally {
    await open.close()
    rmSync(folder, { recursive: true })
  }
})
