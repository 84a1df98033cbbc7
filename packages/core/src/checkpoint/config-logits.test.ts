/**
 * Every combination of rope, window, bias, activation and head keys in every family: the logits that transformers computes, or a
 * refusal by name. Recorded by scripts/fixtures/make-logit-fixtures.py.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { isParscaleError } from '../errors.ts'
import { backboneParameters, elementCount, type ModelConfig } from '../model/index.ts'
import { writeModelFolder } from '../node/index.ts'
import { loadEngine, maxDifference } from '../testing/fixtures.ts'
import { parseModelConfig } from './config.ts'
import { arrayStream } from './index.ts'
import { formulaWeights } from './testing/formula.ts'

type Keys = Readonly<Record<string, unknown>>
const { ids, families, groups, logits, cases } = JSON.parse(
  readFileSync(new URL('../../../../fixtures/configs/logits.json', import.meta.url), 'utf8'),
) as {
  ids: number[]
  families: Record<string, Keys>
  groups: Record<string, Record<string, unknown[]>>
  logits: number[][]
  /** The last: into `logits`, -1 where transformers refuses. */
  cases: [family: string, choice: Record<string, number[]>, logits: number][]
}
const tolerance = 1e-4

const scratch = mkdtempSync(join(tmpdir(), 'parscale-configs-'))
afterAll(() => rmSync(scratch, { recursive: true }))

/** As `settings` of the script. */
function keysOf(family: string, choice: Record<string, number[]>): Keys {
  const keys: Record<string, unknown> = { ...families[family] }
  for (const [group, indices] of Object.entries(choice))
    for (const [i, [key, values]] of Object.entries(groups[group]!).entries()) {
      const value = values[indices[i]!]
      if (value === 'absent') delete keys[key]
      else keys[key] = value
    }
  return keys
}

/** Undefined where we refuse. */
function read(keys: Keys): ModelConfig | undefined {
  try {
    return parseModelConfig(keys)
  } catch (error) {
    if (isParscaleError(error) && (error.kind === 'checkpoint' || error.kind === 'unsupported')) return undefined
    throw error
  }
}

const computed = new Map<string, Promise<Float32Array>>()

/** Of our engine behind the last token; combinations that mean the same are computed once. */
function logitsOf(config: ModelConfig): Promise<Float32Array> {
  const { raw, ...meaning } = config
  const key = JSON.stringify(meaning)
  const known = computed.get(key) ?? compute(config, `${scratch}/${computed.size}`)
  computed.set(key, known)
  return known
}

async function compute(config: ModelConfig, folder: string): Promise<Float32Array> {
  // What transformers saves where the key is missing: gemma2 is tied, the others are not.
  const tied = config.tieWordEmbeddings ?? config.modelType === 'gemma2'
  await writeModelFolder(folder, {
    files: new Map([['config.json', new TextEncoder().encode(JSON.stringify(config.raw))]]),
    tensors: backboneParameters(config, tied).map(({ name, shape }) =>
      arrayStream(name, shape, formulaWeights(name, elementCount(shape))),
    ),
  })
  const engine = await loadEngine(folder, { threads: 1 })
  const [out] = await engine.step([{ sequence: engine.open(), ids, want: 'last' }])
  const found = out!.logits.slice()
  await engine.dispose()
  rmSync(folder, { recursive: true })
  return found
}

describe.each(Object.keys(families))('%s', (family) => {
  const own = cases.filter(([name]) => name === family)

  it('computes what transformers does, or refuses', async () => {
    const differing: object[] = []
    let compared = 0
    for (const [, choice, expected] of own) {
      const keys = keysOf(family, choice)
      const config = read(keys)
      if (!config) continue
      compared++
      const difference = expected < 0 ? 'transformers refuses' : maxDifference(await logitsOf(config), logits[expected]!)
      if (!(Number(difference) < tolerance)) differing.push({ difference, ...Object.fromEntries(changes(family, keys)) })
    }
    process.stderr.write(`${family}: ${compared} of ${own.length} are read, ${differing.length} differ\n`)
    expect(differing.slice(0, 5)).toEqual([])
    expect(compared).toBeGreaterThan(own.length / 20)
  })
})

/** Keys that are not as in the family's own settings. */
const changes = (family: string, keys: Keys): [string, unknown][] =>
  [...new Set([...Object.keys(keys), ...Object.keys(families[family]!)])]
    .filter((key) => JSON.stringify(keys[key]) !== JSON.stringify(families[family]![key]))
    .map((key) => [key, keys[key] ?? (key in keys ? null : 'absent')])
