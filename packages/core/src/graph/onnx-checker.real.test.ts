/** PyPI's onnx judges every graph that we emit: the checker, and strict shape inference over all nodes. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { isTied } from '../checkpoint/index.ts'
import { modelFiles } from '../generation/index.ts'
import { aggregatorGraph, backboneGraph, outputGraph } from '../model/index.ts'
import { openModelFolder } from '../node/index.ts'
import { fixturesFolder } from '../testing/fixtures.ts'
import { writeOnnx } from './index.ts'

it('accepts every graph of every fixture', async () => {
  const python = pythonEnvironment('onnx')
  const folder = mkdtempSync(join(tmpdir(), 'parscale-onnx-'))
  try {
    const paths: string[] = []
    const names = ['goldens', 'transformers'].flatMap((group) =>
      readdirSync(fixturesFolder + group)
        .filter((n) => !n.endsWith('.md'))
        .map((n) => `${group}/${n}`),
    )
    for (const name of names) {
      const open = await openModelFolder(fixturesFolder + name)
      const files = await modelFiles(open)
      const graphs = [
        backboneGraph(files.config, files.findWeight, { layerInputs: true }),
        outputGraph(files.config, files.findWeight, isTied(open)),
        ...files.streamSets.map((set) => aggregatorGraph(set.config, set.findWeight)),
      ]
      // The checker looks for external files beside the model.
      mkdirSync(join(folder, name), { recursive: true })
      copyFileSync(join(fixturesFolder, name, 'model.safetensors'), join(folder, name, 'model.safetensors'))
      for (const graph of graphs) {
        const path = join(folder, name, `${graph.name}.onnx`)
        writeFileSync(path, writeOnnx(graph, { location: (file) => basename(file) }))
        paths.push(path)
      }
      await open.close()
    }
    const out = execFileSync(python, [fileURLToPath(new URL('../testing/check-onnx.py', import.meta.url)), ...paths], {
      encoding: 'utf8',
    })
    expect(out.trim().split('\n')).toHaveLength(paths.length)
    expect(paths.length).toBeGreaterThan(30)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
