/** PyPI's onnx judges the training graphs: the checker, and strict shape inference over all nodes. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../../scripts/python-env.mjs'
import { writeOnnx } from '../../graph/index.ts'
import { fixturesFolder } from '../../testing/fixtures.ts'
import { readTrainingGolden, trainingGoldens } from '../../testing/training.ts'
import { evaluationGraph, gradientGraph, pieceUpdateGraph, updateGraph } from '../index.ts'

it('accepts every training graph, of all parameters and of a frozen backbone', async () => {
  const python = pythonEnvironment('onnx')
  const folder = mkdtempSync(join(tmpdir(), 'parscale-onnx-'))
  try {
    const paths: string[] = []
    for (const name of trainingGoldens) {
      const golden = await readTrainingGolden(name)
      const shape = { sequences: 2, tokens: 12 }
      const plans = { all: golden.plan(shape), norms: golden.plan(shape, ({ part }) => part === 'norm') }
      for (const [which, plan] of Object.entries(plans)) {
        const place = join(folder, name, which)
        mkdirSync(place, { recursive: true })
        // The checker looks for external files, the frozen weights, beside the model.
        copyFileSync(join(fixturesFolder, 'goldens', name, 'model.safetensors'), join(place, 'model.safetensors'))
        for (const graph of [
          evaluationGraph(plan),
          gradientGraph(plan, { accumulate: true }),
          pieceUpdateGraph(plan),
          updateGraph(plan),
        ]) {
          const path = join(place, `${graph.name}.onnx`)
          writeFileSync(path, writeOnnx(graph, { location: (file) => basename(file) }))
          paths.push(path)
        }
      }
    }
    const script = fileURLToPath(new URL('../../testing/check-onnx.py', import.meta.url))
    const out = execFileSync(python, [script, ...paths], { encoding: 'utf8' })
    expect(out.trim().split('\n')).toHaveLength(3 * 2 * 4)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
