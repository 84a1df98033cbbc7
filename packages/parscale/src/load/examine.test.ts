/**
 * What is described of damaged models: the problems are what loading refuses them for, over damages drawn at random (and every one of
 * damaged-streams.test.ts, which asks for the same); and what the commands make of them.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isParscaleError } from '@parscale/core/internal'
import { quantiseModel } from '@parscale/core/internal/node'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shippedModel } from '../package-files.ts'
import { runHere } from '../testing/run-here.ts'
import { examineModel } from './examine.ts'
import { loadModel } from './load.ts'

let scratch: string
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-examine-'))
})
afterAll(() => rmSync(scratch, { recursive: true }))

const parts = ['.', 'streams/p2', 'streams/p8'] as const
type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>
type Damage = (folder: string) => void

/** Changes the header of a part's weights; the data stay. */
function editHeader(file: string, edit: (header: Header, names: readonly string[]) => void): void {
  const all = readFileSync(file)
  const start = 8 + Number(all.readBigUInt64LE(0))
  const header = JSON.parse(all.toString('utf8', 8, start)) as Header
  edit(
    header,
    Object.keys(header).filter((name) => name !== '__metadata__'),
  )
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(file, Buffer.concat([length, text, all.subarray(start)]))
}

const rename = (name: string) => (header: Header) => {
  header[`${name}x`] = header[name]!
  delete header[name]
}

const weights = (folder: string, part: string) => join(folder, part, 'model.safetensors')
const part = fc.constantFrom(...parts)
const nth = fc.nat(1000)

const onTensor = (change: (header: Header, name: string) => void): fc.Arbitrary<Damage> =>
  fc.tuple(part, nth).map(
    ([at, n]) =>
      (folder) =>
        editHeader(weights(folder, at), (header, names) => change(header, names[n % names.length]!)),
  )

const headers: readonly fc.Arbitrary<Damage>[] = [
  onTensor((header, name) => {
    delete header[name]
  }),
  onTensor((header, name) => rename(name)(header)),
  onTensor((header, name) => header[name]!.shape.reverse()),
  onTensor((header, name) => header[name]!.shape.push(1)),
  onTensor((header, name) => {
    header[name]!.dtype = 'F16' // as large as BF16
  }),
  onTensor((header, name) => {
    header[name]!.dtype = 'I16'
  }),
  onTensor((header, name) => {
    header[name]!.data_offsets[1] -= 2
  }),
]

const numbers = [0, 1, 2, 3, 4, 7, 8, 16, 64, 65, 512, 2.5, -1, 1e9, 1e15]
const files: readonly fc.Arbitrary<Damage>[] = [
  fc.tuple(part, fc.double({ min: 0, max: 1, noNaN: true })).map(([at, share]) => (folder) => {
    const file = weights(folder, at)
    truncateSync(file, Math.floor(share * readFileSync(file).length))
  }),
  fc.tuple(part, fc.nat(), fc.nat(255)).map(([at, place, byte]) => (folder) => {
    const all = readFileSync(weights(folder, at))
    // Two of three in the header.
    const header = 8 + Number(all.readBigUInt64LE(0))
    all[place % 3 === 0 ? place % all.length : place % header] = byte
    writeFileSync(weights(folder, at), all)
  }),
  // NaN in bfloat16, from some place on.
  fc.tuple(part, fc.double({ min: 0.3, max: 1, noNaN: true })).map(([at, share]) => (folder) => {
    const all = readFileSync(weights(folder, at))
    const from = Math.floor((share * all.length) / 2) * 2
    writeFileSync(weights(folder, at), all.fill(0xff, from, from + 64))
  }),
  fc.tuple(part, fc.constantFrom('config.json', 'model.safetensors')).map(([at, name]) => (folder) => {
    rmSync(join(folder, at, name), { force: true })
  }),
  fc
    .tuple(part, nth, fc.oneof(fc.constantFrom(...numbers), fc.constantFrom(null, 'x', true, [], { a: 1 })))
    .map(([at, n, value]) => (folder) => {
      const file = join(folder, at, 'config.json')
      const config = JSON.parse(readFileSync(file, 'utf8'))
      const keys = Object.keys(config).filter((key) => !key.startsWith('architectures'))
      writeFileSync(file, JSON.stringify({ ...config, [keys[n % keys.length]!]: value }))
    }),
]

/** What loading says, as `generate` does it; undefined where it loads. */
async function refusal(folder: string, env: NodeJS.ProcessEnv): Promise<Error | undefined> {
  try {
    const loaded = await loadModel(folder, { engine: 'onnx', threads: 1, contextTokens: 16, env })
    await loaded.model.dispose()
    await loaded.close()
    return undefined
  } catch (error) {
    return error as Error
  }
}

const isOfFiles = (error: unknown) => isParscaleError(error) && (error.kind === 'checkpoint' || error.kind === 'unsupported')

it.each(['as it ships', '4 bits'])(
  'has the problems that loading has, and none where it has none: %s',
  async (which) => {
    const sound = which === '4 bits' ? join(scratch, 'int4') : shippedModel
    if (sound !== shippedModel) await quantiseModel(shippedModel, sound, { bits: 4 })
    const seen = { refused: 0, described: 0, loaded: 0 }
    // Of the same bytes nothing is hashed twice.
    const env = { ...process.env, PARSCALE_CACHE: join(scratch, 'cache') }
    let count = 0
    const damages = fc.array(fc.oneof(...headers, ...files), { minLength: 1, maxLength: 2 })
    await fc.assert(
      fc.asyncProperty(damages, async (all) => {
        const folder = join(scratch, `model${count++}`)
        cpSync(sound, folder, { recursive: true })
        for (const damage of all) {
          try {
            damage(folder)
          } catch {
            // The one before has left nothing that this one could damage.
          }
        }
        const error = await refusal(folder, env)
        const examined = await examineModel(folder, { env }).catch((error: Error) => error)
        if (examined instanceof Error) expect(examined.message).toBe(error?.message)
        else if (error === undefined) expect(examined.problems).toEqual([])
        // Memory for sizes of a wrong config.json is asked for before the tensors are looked at.
        else if (isOfFiles(error)) expect(examined.problems[0]?.message).toBe(error.message)
        else expect(isParscaleError(error) && error.kind).toBe('resource')
        const inspected = await runHere(['inspect', folder, '--json'], env)
        if (examined instanceof Error) expect(inspected.code).toBe(error instanceof Error && isOfFiles(error) ? 3 : 2)
        else {
          expect(inspected.code, inspected.stderr).toBe(examined.problems.length > 0 ? 3 : 0)
          expect(JSON.parse(inspected.stdout).problems).toHaveLength(examined.problems.length)
          expect(inspected.stderr).toBe(examined.problems.length > 0 ? `parscale: ${examined.problems[0]!.message}\n` : '')
        }
        seen[error === undefined ? 'loaded' : examined instanceof Error ? 'refused' : 'described']++
        rmSync(folder, { recursive: true })
      }),
      { seed: 11, numRuns: 60, endOnFailure: true },
    )
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
  },
  300_000,
)

describe('a model with several damages', () => {
  let folder: string
  const here = (...args: string[]) => runHere(args, { PARSCALE_CACHE: join(scratch, 'cache') })
  beforeAll(() => {
    folder = join(scratch, 'several')
    cpSync(shippedModel, folder, { recursive: true })
    editHeader(weights(folder, '.'), rename('model.layers.1.mlp.up_proj.weight'))
    truncateSync(weights(folder, 'streams/p2'), 5000)
    editHeader(weights(folder, 'streams/p4'), rename('model.norm.stream_gain'))
  })

  it('is described as far as it can be read, with a problem of each part, and the exit code of loading it', async () => {
    const { code, stdout, stderr } = await here('inspect', folder, '--json')
    const { problems, ...report } = JSON.parse(stdout)
    expect(report).toMatchObject({ family: 'qwen2', shapes: { hiddenSize: 64 }, availableP: [1, 4, 8], memory: null })
    expect(problems.map(({ file, tensor }: { file: string; tensor: string }) => [file, tensor])).toEqual([
      [expect.stringContaining('streams/p2/model.safetensors'), undefined],
      [folder, 'model.layers.1.mlp.up_proj.weight'],
      [join(folder, 'streams/p4'), 'model.norm.stream_gain'],
    ])
    const loaded = await here('generate', folder, '--prompt', 'a', '--max-tokens', '1')
    expect([code, stderr]).toEqual([3, loaded.stderr])
    expect([loaded.code, stderr]).toEqual([3, `parscale: ${problems[0].message}\n`])
  })

  it('in text', async () => {
    const { code, stdout } = await here('inspect', folder)
    expect(code).toBe(3)
    expect(stdout).toMatch(/^layers +3, hidden 64/m)
    expect(stdout).not.toMatch(/^memory/m)
    expect(stdout).toMatch(
      /\nproblems {6}\S+p2\S+: .*\n {14}\S+: tensor model\.layers\.1\S+ is missing.*\n {14}.*stream_gain is missing.*\n$/,
    )
  })

  it('without weights is what config.json says', async () => {
    const bare = join(scratch, 'bare')
    cpSync(shippedModel, bare, { recursive: true })
    rmSync(weights(bare, '.'))
    const { code, stdout } = await here('inspect', bare, '--json')
    expect(code).toBe(3)
    expect(JSON.parse(stdout)).toMatchObject({
      shapes: { numHiddenLayers: 3 },
      availableP: [1, 2, 4, 8],
      dtypes: {},
      weights: null,
      problems: [{ message: expect.stringContaining('no weights'), file: bare }],
    })
  })

  it('costs what config.json says, and is named; a plan of its training is refused', async () => {
    const { code, stdout, stderr } = await here('cost', folder, '--p', '2', '--json')
    const { problems, ...cost } = JSON.parse(stdout)
    const sound = JSON.parse((await here('cost', shippedModel, '--p', '2', '--json')).stdout)
    expect(sound).toEqual({ ...cost, model: shippedModel, problems: [] })
    expect([code, stderr]).toEqual([3, `parscale: ${problems[0].message}\n`])
    expect((await here('cost', folder)).stdout).toMatch(/\nproblems {6}/)
    const plan = await here('plan', '--workers', '2', '--model', folder)
    expect([plan.code, plan.stdout, plan.stderr]).toEqual([3, '', stderr])
  })
})
